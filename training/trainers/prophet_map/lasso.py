"""A small lasso on its Gram matrix, by feature-sign search: exact, and quick where it starts near the answer. Pure.

Lee, Battle, Raina and Ng, "Efficient sparse coding algorithms" (2006), section 3: the quadratic is solved for those in
use with their signs held; where a sign would break, the step ends at the first zero, and that one leaves.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from training.trainers.prophet_map.limits import COLLINEAR, STEPS_FOR_EACH, VIOLATION
from training.trainers.prophet_map.problem import Floats

Signs = Floats
OUTSIDE, BARRED = 0.0, 2.0


def minimise(gram: Floats, pull: Floats, weight: float, start: Floats) -> Floats | None:
    """Return d that minimises d'gram d/2 - pull'd + weight |d|_1; None where the steps run out.

    gram (S, S) is positive semidefinite, pull (S,). Of variables that are sums of others only enough enter.
    """
    delta = start.copy()
    sign = np.sign(delta)
    most = weight * (1.0 + VIOLATION) + 1e-15 * float(np.abs(pull).max(initial=0.0))
    for _ in range(STEPS_FOR_EACH * (len(pull) + 1)):
        active = np.flatnonzero(np.abs(sign) == 1.0)
        target = solve(gram, (pull - weight * sign)[active], active)
        if target is None:
            # The last to enter is a sum of the others, which shows only now.
            newest = active[int(np.argmin(np.abs(delta[active])))]
            delta[newest], sign[newest] = 0.0, BARRED
            continue
        leaver, share = _crossing(delta[active], target, sign[active])
        delta[active] += share * (target - delta[active])
        if leaver >= 0:
            delta[active[leaver]], sign[active[leaver]] = 0.0, OUTSIDE
            continue
        gradient = np.where(sign == OUTSIDE, pull - gram[:, active] @ delta[active], 0.0)
        entrant = int(np.argmax(np.abs(gradient))) if len(gradient) else -1
        if entrant < 0 or abs(gradient[entrant]) <= most:
            return delta
        sign[entrant] = np.sign(gradient[entrant])
    return None


def solve(gram: Floats, right: Floats, active: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Floats | None:
    """Solve for those in use; None where one of them is a sum of the others."""
    if not len(active):
        return np.empty(0)
    own = gram[np.ix_(active, active)]
    factor, failed = lapack.dpotrf(own, lower=1)
    if failed or (np.square(np.diag(factor)) <= COLLINEAR * np.diag(own)).any():
        return None
    solved: Floats = lapack.dpotrs(factor, right, lower=1)[0]
    return solved


def _crossing(delta: Floats, target: Floats, sign: Signs) -> tuple[int, float]:
    """Return the place whose sign breaks first on the way to the target, and how far that is; -1 and 1 for none."""
    broken = np.flatnonzero(target * sign <= 0.0)
    if not len(broken):
        return -1, 1.0
    away = delta[broken] - target[broken]
    reach = np.divide(delta[broken], away, out=np.zeros(len(broken)), where=delta[broken] != 0.0)
    first = int(np.argmin(reach))
    return int(broken[first]), float(reach[first])
