"""Owns one person's session with the web process: fetches a page several times and keeps the median."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore

from benchmarks.admin.asking import HEAD
from benchmarks.admin.pages import Page

TIMEOUT_SECONDS = 120
TOKEN = "a" * 32


def session_of(user: User) -> str:
    """Log a user in; return the cookie."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return f"sessionid={session.session_key}; csrftoken={TOKEN}"


def fetch(address: str, cookie: str, page: Page, *, rounds: int) -> dict[str, Any]:
    """Return the median of the milliseconds of a page, once warm, and what it asked of the database."""
    times, asked, status = [], {}, 0
    for _ in range(rounds + 1):
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=TIMEOUT_SECONDS)
        start = time.perf_counter()
        connection.request("POST" if page.form else "GET", page.address, _body(page), _heads(address, cookie, page))
        answer = connection.getresponse()
        answer.read()
        times.append(1000 * (time.perf_counter() - start))
        status, asked = answer.status, json.loads(answer.getheader(HEAD) or "{}")
        connection.close()
    return {"page": page.name, "status": status, "ms": round(statistics.median(times[1:]), 1), **asked}


def _body(page: Page) -> bytes | None:
    return urlencode({**page.form, "csrfmiddlewaretoken": TOKEN}, doseq=True).encode() if page.form else None


def _heads(address: str, cookie: str, page: Page) -> dict[str, str]:
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": address} if page.form else {}
    return {"Cookie": cookie, **form}
