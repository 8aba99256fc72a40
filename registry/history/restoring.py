"""Owns how the ledger goes on after a restore into a server whose transactions count from a lower number.

No line is changed: the numbers of new lines begin beyond all that any reader has seen, also one outside of the database
that had read lines which the backup does not have.
"""

from __future__ import annotations

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

# More transactions than any server makes between a backup and its restore, and little of what 63 bits hold.
GAP = 2**32
_NEWEST = "SELECT coalesce(max(txid), 0) FROM registry_event"
_REACHED = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint + registry_txid_offset()"


def is_needed() -> bool:
    """Whether lines stand in the ledger that this server cannot have written; until `go_on` it takes no new ones."""
    with connection.cursor() as cursor:
        # In this order: what the first can see was written below what the second says.
        return _number(cursor, _NEWEST) > _number(cursor, _REACHED)


@transaction.atomic
def go_on() -> int:
    """Let the numbers of new lines begin `GAP` beyond the newest line; return what is added from now on."""
    with connection.cursor() as cursor:
        # Whoever is writing ends first: its numbers were counted without the new offset.
        cursor.execute("LOCK TABLE registry_event IN SHARE ROW EXCLUSIVE MODE")
        newest = max(_number(cursor, _NEWEST), _number(cursor, _REACHED))
        offset = newest + GAP - _number(cursor, "SELECT pg_current_xact_id()::text::bigint")
        cursor.execute(
            "CREATE OR REPLACE FUNCTION registry_txid_offset() RETURNS bigint LANGUAGE sql IMMUTABLE "
            f"AS 'SELECT {offset:d}::bigint'"
        )
    return offset


def _number(cursor: CursorWrapper, query: str) -> int:
    cursor.execute(query)
    return int(cursor.fetchone()[0])
