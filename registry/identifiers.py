"""What names things: the patterns of keys and slugs, and ids that sort by time and cannot collide (UUID version 7)."""

from datetime import datetime
from uuid import UUID

import uuid_utils.compat

# An entity may be a product, a device or a machine of somebody else's naming: wide, but safe in paths, URLs and logs.
ENTITY_KEY = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"
SLUG = r"[a-z0-9][a-z0-9_-]{0,62}"
# No comma and no blank: forms and commands divide tags by them.
TAG = r"[A-Za-z0-9][A-Za-z0-9._:/=-]{0,63}"


def uuid7() -> UUID:
    """Return a new UUIDv7: 48 bits of milliseconds, then a counter and random bits (RFC 9562, section 5.7)."""
    return uuid_utils.compat.uuid7()


def lowest(at: datetime) -> UUID:
    """Return an id below every UUIDv7 that was made at or after an instant."""
    return UUID(int=int(at.timestamp() * 1000) << 80)
