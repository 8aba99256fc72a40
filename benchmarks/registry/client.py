"""Owns one HTTP caller with one kept connection, the same for every side. Refuses answers that are not successes."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

TIMEOUT_SECONDS = 120
# Servers close a connection that is idle for a few seconds; one that may be on its way out is opened anew, untimed.
FRESH_SECONDS = 1.0


class CallFailed(Exception):
    """A server refused a call that the benchmark needs."""


class Client:
    """Calls one server and measures how long each answer takes, from the first byte sent to the last byte read."""

    def __init__(self, address: str, *, token: str = "", prompt: bool = False) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=TIMEOUT_SECONDS)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._used_at = 0.0
        # What no HTTP library does: acknowledge each packet at once. A server that writes an answer in two parts and
        # waits for the acknowledgement of the first is held up for 40 ms by every other client.
        self._prompt = prompt and hasattr(socket, "TCP_QUICKACK")
        self.dropped = 0
        """Calls that the server left without an answer; each was sent once more, and only that is in the figures."""

    def get(self, path: str, **parameters: Any) -> tuple[Any, float]:
        """Return the answer and the seconds that it took. Raises CallFailed."""
        return self._call("GET", f"{path}?{urlencode(parameters)}" if parameters else path, None, {})

    def post(self, path: str, body: Any) -> tuple[Any, float]:
        """Send JSON; return the answer and the seconds that it took. Raises CallFailed."""
        return self._call("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def send(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[Any, float]:
        """Send bytes; return the answer and the seconds that it took. Raises CallFailed."""
        return self._call("POST", path, body, headers)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _call(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[Any, float]:
        try:
            return self._once(method, path, body, headers)
        except http.client.RemoteDisconnected:
            self.dropped += 1
            self._connection.close()
            return self._once(method, path, body, headers)

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[Any, float]:
        self._renew()
        start = time.perf_counter()
        self._connection.request(method, path, body, {**self._headers, **headers})
        if self._prompt:
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        response = self._connection.getresponse()
        content = response.read()
        seconds = time.perf_counter() - start
        self._used_at = time.monotonic()
        if not 200 <= response.status < 300:
            raise CallFailed(f"{method} {path} answered {response.status}: {content[:500].decode(errors='replace')}")
        return json.loads(content) if content else None, seconds

    def _renew(self) -> None:
        if self._connection.sock is None or time.monotonic() - self._used_at > FRESH_SECONDS:
            self._connection.close()
            self._connection.connect()
