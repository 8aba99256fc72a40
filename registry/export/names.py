"""Owns which folder an entity gets: readable, safe on every file system, and never that of another entity. Pure.

Letters keep their case, and a name with capitals gets `@` and a number that says which letters they are, because some
file systems take `Bread` and `bread` for one. `:` becomes `+`. `@` also stands before a name that Windows keeps for a
device, and behind one that ends in a dot, which Windows takes away. Neither `@` nor `+` can stand in a key.
"""

from __future__ import annotations

import re

DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def folder(key: str) -> str:
    """Return the name of the folder of an entity, a fleet or a tenant."""
    letters = [character for character in key if character.isalpha()]
    capitals = sum(1 << place for place, letter in enumerate(letters) if letter.isupper())
    marked = f"@{capitals:x}" if capitals else "@" if key.endswith(".") else ""
    device = "@" if DEVICE.fullmatch(key) else ""
    return f"{device}{key.replace(':', '+')}{marked}"
