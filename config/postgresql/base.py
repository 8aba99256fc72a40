"""Owns how a kept connection is known to be alive: by what its socket says, without a question to the server.

Django asks `SELECT 1` before each request that reuses a connection: one more round trip for every request. A server
that stopped, restarted or ended the session has closed the socket, which then reads as readable while nothing is due.
"""

from __future__ import annotations

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection, but for its health check."""

    def is_usable(self) -> bool:
        """Whether the connection can be used; after an error the server is asked."""
        if self.connection is None:
            return False
        if self.errors_occurred or self.connection.closed:
            return bool(super().is_usable())
        readable, _, failed = select.select([self.connection], [], [self.connection], 0)
        return not readable and not failed
