"""Ids that sort by the time of their making and cannot collide: UUID version 7."""

from uuid import UUID

import uuid_utils.compat


def uuid7() -> UUID:
    """Return a new UUIDv7: 48 bits of milliseconds, then a counter and random bits (RFC 9562, section 5.7)."""
    return uuid_utils.compat.uuid7()
