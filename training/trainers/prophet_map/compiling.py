"""How loops are compiled: by numba, once for an installation. Imported only where numba is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Return the function compiled at its first call, and kept on disk for the next process where that may be."""
    # Sums may be taken in any order, so that they use the lanes of the processor; what is not finite stays so.
    options: Any = {"nogil": True, "fastmath": {"reassoc", "contract", "nsz", "arcp"}}
    try:
        made: Any = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # Neither the folder of this file nor that of the user's caches can be written: each process compiles anew.
        made = numba.njit(**options)(function)
    return cast(F, made)
