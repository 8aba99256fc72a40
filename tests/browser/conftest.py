"""A real headless Chromium and a signed-in tab. Chromium absent: the tests fail in CI and are skipped elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from tests.browser.chromium import Tab, find

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
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


@pytest.fixture
def tab(chromium: Browser, live_server: LiveServer) -> Iterator[Tab]:
    """A signed-in tab."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    http = Client()
    http.force_login(User.objects.create_superuser("root"))
    key = http.session.session_key
    assert key is not None
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": key, "url": live_server.url}])
    yield Tab(context.new_page(), live_server.url)
    context.close()
