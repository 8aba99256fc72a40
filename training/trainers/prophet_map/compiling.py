"""How loops are compiled: by numba, once for an installation. Imported only where numba is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Return the function compiled at its first call, and kept on disk for the next process."""
    # Sums may be taken in any order, so that they use the lanes of the processor; what is not finite stays so.
    made: Any = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz", "arcp"})(function)
    return cast(F, made)
