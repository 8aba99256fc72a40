"""How far the future of a linear trend may stray: quantiles of what Prophet simulates, simulated once for all. Pure.

Prophet lets each step ahead begin a change of slope with some probability, of a Laplace size whose scale is the mean of
those seen, and adds normal noise. A Laplace number is a normal one with an exponential variance, so at a step the sum
is normal given W, a sum of exponentials that hangs on neither the series nor its scale: W is drawn once, and the
quantile of each series follows by a smooth average over it. Two hundred paths of Prophet's own stray by four percent.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from training.trainers.prophet_map.problem import Floats

DRAWS = 32_768
MOST_NUMBERS = 4_000_000
"""Drawn for one chance; a long horizon gets fewer draws of each step."""
LEAST_DRAWS = 2_048
BINS = 128
"""The sorted draws of a step are averaged in so many bins."""
SEED = 20_260_101
LEAST_RATIO, MOST_RATIO = 1e-3, 1e5
RATIOS = np.linspace(np.log(LEAST_RATIO), np.log(MOST_RATIO), 121)
CHANCES_PER_DECADE = 16
LEAST_CHANCE = 1e-6
BISECTIONS = 24
CACHED = 64
LEAST_LADDER = 120
"""Steps that the shortest tables reach: windows of one, two and three horizons of 40 have theirs in common."""


def reach(steps: NDArray[np.int64], ratio: Floats, *, chance: float, width: float) -> Floats:
    """Return half the width of the interval in units of the noise's standard deviation. (n, h)

    `steps` (h,) counts steps after the last observation, 0 within the history; `ratio` (n, h) is the mean change of
    slope times the length of a step over that standard deviation; `chance` of a change at each step; `width` such as
    0.8. Between the nodes of a table it is linear in the logarithms: within one percent, three where the quantile
    jumps, at the step at which a change has become as likely as the tails are.
    """
    out = np.full(ratio.shape, _normal(width))
    ahead = np.flatnonzero(steps > 0)
    if not len(ahead):
        return out
    known = np.log(np.clip(ratio[:, ahead], LEAST_RATIO, MOST_RATIO))
    rows = _rows(steps[ahead], float(chance), float(width))
    for place, row in enumerate(rows):
        out[:, ahead[place]] = np.exp(np.interp(known[:, place], RATIOS, row))
    return out


def _normal(width: float) -> float:
    return NormalDist().inv_cdf((1.0 + width) / 2.0)


def _rows(steps: NDArray[np.int64], chance: float, width: float) -> Floats:
    """Return the log of the reach at each step and each node of the ratio. (h, nodes)"""
    place = CHANCES_PER_DECADE * float(np.log10(np.clip(chance, LEAST_CHANCE, 1.0)))
    low = int(np.floor(place))
    longest = _ladder(int(steps.max()))
    nodes = _step_nodes(longest)
    below, above = (_table(longest, each, width) for each in (low, min(low + 1, 0)))
    table = below + (place - low) * (above - below)
    at = np.interp(np.log(steps), np.log(nodes), np.arange(len(nodes)))
    left = np.minimum(at.astype(np.int64), len(nodes) - 2)
    right = np.minimum(left + 1, len(nodes) - 1)
    return np.asarray(table[left] + (at - left)[:, None] * (table[right] - table[left]))


def _ladder(longest: int) -> int:
    """Return how far a table reaches that serves so many steps: twice as far each time.

    The farther, the fewer draws: of the same day the bounds differ by up to half a percent with how far is asked.
    """
    reached = LEAST_LADDER
    while reached < longest:
        reached *= 2
    return reached


@lru_cache(maxsize=CACHED)
def _step_nodes(longest: int) -> NDArray[np.int64]:
    """Return the steps of a table that reaches that far: each of the first ten, then a fifth further every time."""
    nodes = list(range(1, 11))
    while nodes[-1] < longest:
        nodes.append(int(np.ceil(nodes[-1] * 1.2)))
    return np.array(nodes)


@lru_cache(maxsize=CACHED)
def _table(longest: int, place: int, width: float) -> Floats:
    """Return the log of the reach at the nodes of steps and ratios, for one node of the chance. (steps, ratios)"""
    nodes = _step_nodes(longest)
    drawn = _variances(nodes, 10.0 ** (place / CHANCES_PER_DECADE))
    return np.log(np.stack([_reaches(variances, width) for variances in drawn]))


def _variances(nodes: NDArray[np.int64], chance: float) -> Floats:
    """Return quantiles of W at each node: twice the exponentials of the changes so far, by their squared leverage.

    A change i steps ago has moved the trend by i - 1/2 steps, because Prophet spreads it over two. (steps, BINS)
    """
    draws = int(np.clip(MOST_NUMBERS // nodes[-1], LEAST_DRAWS, DRAWS)) // BINS * BINS
    generator = np.random.default_rng(SEED)
    total, out = np.zeros(draws), []
    for step in range(1, nodes[-1] + 1):
        changed = np.flatnonzero(generator.random(draws) < chance)
        total[changed] += 2.0 * generator.standard_exponential(len(changed)) * (step - 0.5) ** 2
        if step in nodes:
            out.append(np.sort(total).reshape(BINS, -1).mean(axis=1))
    return np.array(out)


def _reaches(variances: Floats, width: float) -> Floats:
    """Solve mean(Phi(q / sqrt(1 + r^2 W))) = (1 + width) / 2 for q at every node r of the ratio, by bisection."""
    # Without a change so far, and while changes are rare, most of them are zero.
    values, counts = np.unique(variances, return_counts=True)
    share = counts / len(variances)
    spread = np.sqrt(1.0 + np.exp(2.0 * RATIOS)[:, None] * values[None, :])
    level = (1.0 + width) / 2.0
    low = np.full(len(RATIOS), _normal(width))
    high = low * spread.max(axis=1)
    for _ in range(BISECTIONS):
        middle = np.sqrt(low * high)
        below = ndtr(middle[:, None] / spread) @ share < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(np.sqrt(low * high))
