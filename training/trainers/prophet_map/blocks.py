"""Owns products of many rows with one matrix, whose rows come out the same to the last bit whatever stands beside them.

A library of linear algebra takes other paths for other sizes, and rounds differently on each: a series fitted again
alone would not be what it was among a thousand. Blocks of one size take one path.
"""

from __future__ import annotations

import numpy as np

from training.trainers.prophet_map.problem import Floats

ROWS = 16
"""A multiple of what the kernels of OpenBLAS take at once; larger blocks are no quicker."""


def product(rows: Floats, matrix: Floats) -> Floats:
    """Return rows (n, k) times matrix (k, w), in blocks of rows. (n, w)"""
    out = np.empty((len(rows), matrix.shape[1]))
    whole = len(rows) - len(rows) % ROWS
    for start in range(0, whole, ROWS):
        np.matmul(rows[start : start + ROWS], matrix, out=out[start : start + ROWS])
    if whole < len(rows):
        last = np.zeros((ROWS, rows.shape[1]))
        last[: len(rows) - whole] = rows[whole:]
        out[whole:] = (last @ matrix)[: len(rows) - whole]
    return out
