"""Owns the file at the root of a store that says whose the store is, so that another folder is not taken for it."""

from __future__ import annotations

import json
from uuid import UUID

from registry.store.contract import Mark, StoreUnavailable

NAME = "perennial-store.json"
LONGEST = 4096
"""Bytes that are read of it."""
NOTE = "Whose files these are. Without this file the installation takes the store for lost; a copy keeps it."


def dump(mark: Mark) -> bytes:
    """Return the bytes of the file."""
    told = {"installation": str(mark.installation), "purpose": mark.purpose, "note": NOTE}
    return json.dumps(told, indent=2).encode() + b"\n"


def parse(data: bytes) -> Mark:
    """Return what the file says. Raises StoreUnavailable for one that says nothing: nobody knows whose the store is."""
    try:
        told = json.loads(data)
        return Mark(installation=UUID(told["installation"]), purpose=str(told["purpose"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreUnavailable(
            f"The file {NAME} at the root of the store does not say whose the store is.",
            next_step="If the store is the right one, write it anew: manage.py store --claim, and which store.",
        ) from error
