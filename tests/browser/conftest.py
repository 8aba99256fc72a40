"""A real headless Chromium, found on PATH. Absent: the tests fail in CI and are skipped locally, with the reason."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find() -> str:
    """Return the path of a Chromium; end the test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        reason = f"No Chromium on PATH (looked for {', '.join(NAMES)}): install one to run the browser tests."
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One browser for all tests."""
    path = find()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Playwright's own loop runs in this thread; Django would take it for an async caller.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()
        os.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE")


class Tab:
    """A page of a signed-in superuser, that remembers what went wrong in it and which hosts it asked."""

    def __init__(self, page: Any, base: str) -> None:
        self.page, self.base = page, base
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: self.faults.append(message.text) if message.type == "error" else None)
        page.on("dialog", self._refuse)
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]) if "//" in request.url else None)

    def _refuse(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, address: str) -> Any:
        """Load a page of the admin and return the browser's page."""
        answer = self.page.goto(self.base + address)
        assert answer.status == 200, (address, answer.status)
        return self.page


@pytest.fixture
def tab(chromium: Any, live_server: Any) -> Iterator[Tab]:
    """A signed-in tab."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    http = Client()
    http.force_login(User.objects.create_superuser("root"))
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": http.session.session_key, "url": live_server.url}
    context.add_cookies([cookie])
    yield Tab(context.new_page(), live_server.url)
    context.close()
