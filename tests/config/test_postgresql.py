"""A kept connection is known to be dead by its socket, and asking whether it lives costs the server nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

pytestmark = pytest.mark.django_db


@pytest.fixture
def kept() -> Iterator[BaseDatabaseWrapper]:
    """A connection beside that of the test."""
    made = connections.create_connection("default")
    # As in the web process; workers keep none.
    made.settings_dict = {**made.settings_dict, "CONN_MAX_AGE": 60}
    made.connect()
    yield made
    made.close()


def asked(kept: BaseDatabaseWrapper, statement: str) -> int:
    with kept.cursor() as cursor:
        cursor.execute(statement)
        return int(cursor.fetchone()[0])


def seen(pid: int) -> str:
    """What the server saw last of a connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [pid])
        return str(cursor.fetchone()[0])


def end(pid: int) -> None:
    """End a session as a restarting server does, and wait until it is gone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        assert cursor.fetchone() == (True,)


def test_a_connection_that_lives_is_usable_and_the_server_is_not_asked(kept: BaseDatabaseWrapper) -> None:
    pid = asked(kept, "SELECT pg_backend_pid()")
    asked(kept, "SELECT 42")
    assert kept.is_usable()
    assert seen(pid) == "SELECT 42"


def test_a_connection_whose_session_was_ended_is_not_usable(kept: BaseDatabaseWrapper) -> None:
    end(asked(kept, "SELECT pg_backend_pid()"))
    assert not kept.is_usable()


def test_a_request_after_a_restart_gets_a_new_connection(kept: BaseDatabaseWrapper) -> None:
    end(asked(kept, "SELECT pg_backend_pid()"))
    kept.close_if_unusable_or_obsolete()
    assert asked(kept, "SELECT 1") == 1


def test_after_an_error_the_server_is_asked(kept: BaseDatabaseWrapper) -> None:
    pid = asked(kept, "SELECT pg_backend_pid()")
    kept.errors_occurred = True
    assert kept.is_usable()
    assert seen(pid) == "SELECT 1"


def test_a_connection_that_was_closed_is_not_usable(kept: BaseDatabaseWrapper) -> None:
    assert kept.connection is not None
    kept.connection.close()
    assert not kept.is_usable()
    with pytest.raises(OperationalError):
        asked(kept, "SELECT 1")


def test_no_connection_is_not_usable(kept: BaseDatabaseWrapper) -> None:
    kept.close()
    assert not kept.is_usable()
