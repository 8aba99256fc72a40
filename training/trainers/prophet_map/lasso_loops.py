"""`lasso.minimise` in plain loops for numba, nothing allocated. A test holds the two against each other."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training.trainers.prophet_map.compiling import compiled
from training.trainers.prophet_map.lasso import BARRED, OUTSIDE
from training.trainers.prophet_map.limits import COLLINEAR, STEPS_FOR_EACH, VIOLATION
from training.trainers.prophet_map.problem import Floats

Integers = NDArray[np.int64]


@compiled
def _append(gram: Floats, active: Integers, count: int, j: int, factor: Floats) -> bool:
    """Add variable j to the Cholesky factor of those in use; False where it is a sum of them."""
    left = gram[j, j]
    for a in range(count):
        value = gram[j, active[a]]
        for b in range(a):
            value -= factor[count, b] * factor[a, b]
        factor[count, a] = value / factor[a, a]
        left -= factor[count, a] ** 2
    if not left > COLLINEAR * gram[j, j]:
        return False
    factor[count, count] = math.sqrt(left)
    active[count] = j
    return True


@compiled
def _factorise(gram: Floats, active: Integers, count: int, factor: Floats, delta: Floats, sign: Floats) -> int:
    """Factor anew for those in use and return how many are left; one that is a sum of others goes out."""
    kept = 0
    for a in range(count):
        j = active[a]
        if _append(gram, active, kept, j, factor):
            kept += 1
        else:
            delta[j], sign[j] = 0.0, BARRED
    return kept


@compiled
def _solve(factor: Floats, count: int, z: Floats) -> None:
    """Solve in place with the factor and its transpose."""
    for a in range(count):
        value = z[a]
        for b in range(a):
            value -= factor[a, b] * z[b]
        z[a] = value / factor[a, a]
    for a in range(count - 1, -1, -1):
        value = z[a]
        for b in range(a + 1, count):
            value -= factor[b, a] * z[b]
        z[a] = value / factor[a, a]


@compiled
def _crossing(delta: Floats, z: Floats, sign: Floats, active: Integers, count: int) -> tuple[int, float]:
    """Return the place in `active` whose sign breaks first on the way to z, and how far that is; -1 for none."""
    place, share = -1, 1.0
    for a in range(count):
        j = active[a]
        if z[a] * sign[j] <= 0.0:
            reach = delta[j] / (delta[j] - z[a]) if delta[j] != 0.0 else 0.0
            if place < 0 or reach < share:
                place, share = a, reach
    return place, share


@compiled
def _entrant(
    gram: Floats, pull: Floats, delta: Floats, sign: Floats, active: Integers, count: int, most: float
) -> tuple[int, float]:
    """Return the variable outside that breaks the optimality conditions most, and its gradient; -1 for none."""
    found, worst = -1, most
    for j in range(pull.shape[0]):
        if sign[j] != OUTSIDE:
            continue
        gradient = pull[j]
        for a in range(count):
            gradient -= gram[j, active[a]] * delta[active[a]]
        if abs(gradient) > abs(worst):
            found, worst = j, gradient
    return found, worst


@compiled
def _leave(place: int, active: Integers, count: int, delta: Floats, sign: Floats) -> None:
    delta[active[place]], sign[active[place]] = 0.0, OUTSIDE
    for a in range(place, count - 1):
        active[a] = active[a + 1]


@compiled
def _taken_in(delta: Floats, sign: Floats, active: Integers) -> int:
    """List those that are not zero as in use; return how many."""
    count = 0
    for j in range(delta.shape[0]):
        sign[j] = np.sign(delta[j])
        if sign[j] != OUTSIDE:
            active[count] = j
            count += 1
    return count


@compiled
def _stretch(
    pull: Floats, weight: float, delta: Floats, sign: Floats, active: Integers, count: int, factor: Floats, z: Floats
) -> int:
    """Go to the minimum for these signs, or as far as they hold; return the place that breaks, -1 for none."""
    for a in range(count):
        z[a] = pull[active[a]] - weight * sign[active[a]]
    _solve(factor, count, z)
    place, share = _crossing(delta, z, sign, active, count)
    for a in range(count):
        delta[active[a]] += share * (z[a] - delta[active[a]])
    return place


@compiled
def lasso(
    gram: Floats, pull: Floats, weight: float, delta: Floats, sign: Floats, active: Integers, factor: Floats, z: Floats
) -> int:
    """Do what `lasso.minimise` does, from where delta stands; return how many are in use, -1 where it fails."""
    most = weight * (1.0 + VIOLATION) + 1e-15 * np.abs(pull).max() if pull.shape[0] else 0.0
    count = _factorise(gram, active, _taken_in(delta, sign, active), factor, delta, sign)
    for _ in range(STEPS_FOR_EACH * (pull.shape[0] + 1)):
        place = _stretch(pull, weight, delta, sign, active, count, factor, z)
        if place >= 0:
            _leave(place, active, count, delta, sign)
            count = _factorise(gram, active, count - 1, factor, delta, sign)
            continue
        j, gradient = _entrant(gram, pull, delta, sign, active, count, most)
        if j < 0:
            return count
        sign[j] = BARRED
        if _append(gram, active, count, j, factor):
            sign[j] = np.sign(gradient)
            count += 1
    return -1
