"""Owns the locks between who stores files and who removes them: many store at once, whoever removes is alone.

They belong to the database session. So that the server does not end it, and with it the lock, while a store is slow, a
session that has one may stand idle for longer than the slowest answer takes. Refuses to be taken outside a transaction.
"""

from __future__ import annotations

from django.db import connection, transaction

from registry import conf

# Any numbers, the same in every process and no other lock's.
ARTIFACTS, SNAPSHOTS = 7_206_113_408, 7_206_113_409
# Under the lock a store is asked whose it is, and then to delete. An answer takes up to `store_seconds` of tries, and
# as long for the last of them.
_ANSWERS = 2 * 2
_SPARE_SECONDS = 60.0


def share(number: int) -> None:
    """Keep files from being removed until this transaction ends."""
    _take("pg_advisory_xact_lock_shared", number)


def have_alone(number: int) -> None:
    """Let nobody else store or remove until this transaction ends; waits for those who do."""
    _take("pg_advisory_xact_lock", number)


def assure() -> None:
    """Raise a DatabaseError where the server has ended the session, and with it the lock, while the store was slow."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def patience_seconds() -> float:
    """Return how long a session that has such a lock may stand idle."""
    return _ANSWERS * conf.current().store_seconds + _SPARE_SECONDS


def _take(function: str, number: int) -> None:
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("Outside a transaction the lock would end at once.")
    patience = f"{int(patience_seconds() * 1000)}ms"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT set_config('idle_in_transaction_session_timeout', %s, true), {function}(%s)", [patience, number]
        )
