"""Owns which trainers could not be used in this process a moment ago, and why; after a while they are asked again.

Known here alone: another worker may have them, and a new process, such as that of a command, asks anew.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from registry import errors

AGAIN_SECONDS = 60.0
_found: dict[str, tuple[datetime, errors.Unavailable]] = {}


def note(trainer: str, error: errors.Unavailable, *, at: datetime) -> None:
    """Note that a trainer could not be used."""
    _found[trainer] = (at, error)


def known(*, now: datetime) -> dict[str, errors.Unavailable]:
    """Return why trainers cannot be used, by name; those that may be asked again are left out."""
    since = now - timedelta(seconds=AGAIN_SECONDS)
    return {trainer: error for trainer, (at, error) in _found.items() if at > since}


def forget() -> None:
    """Let all be asked again."""
    _found.clear()
