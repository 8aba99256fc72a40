"""Makes the README's pictures of the admin from the state folder's own data: run `manage.py demo` first, then this.

`python docs/screenshots.py [--dark] [--to docs/images]`; needs a Chromium on PATH.
It signs in by a session, which it removes again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]
WIDTH, HEIGHT, TALLEST = 1360, 860, 1500


class Server(ThreadingMixIn, WSGIServer):
    """Answers the browser's parallel requests."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Writes no line for each request."""

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextmanager
def web() -> Iterator[str]:
    """Serve the web process of this state folder on a free port."""
    from config.wsgi import application

    server = make_server("127.0.0.1", 0, application, server_class=Server, handler_class=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@contextmanager
def session() -> Iterator[dict[str, str]]:
    """Sign the first superuser in, and out again."""
    from django.contrib.auth.models import User
    from django.test import Client

    http = Client()
    http.force_login(User.objects.filter(is_superuser=True).earliest("id"))
    [(name, cookie)] = http.cookies.items()
    yield {"name": name, "value": cookie.value}
    http.session.flush()


def pages() -> dict[str, str]:
    """Return the pages to show: rows that tell much, such as the model with most champions."""
    from django.db.models import Count
    from django.urls import reverse

    from registry.models import Event, Fleet, RegisteredModel
    from training.models import RetrainingPolicy, TrainingRun

    def page(row: Any) -> str:
        return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])

    promoted = Event.objects.filter(kind="registry.champion.promoted", registered_model__fleet__kind="forecast")
    best = (
        promoted.values("registered_model").annotate(moves=Count("pk")).order_by("-moves", "registered_model").first()
    )
    model = RegisteredModel.objects.get(pk=best["registered_model"] if best else None)
    runs = TrainingRun.objects.filter(state="succeeded").order_by("-id")
    run = runs.filter(verdict="failed").first() or runs.filter(verdict="held").first() or runs.first()
    fleet = Fleet.objects.get(pk=model.fleet_id)
    policy = RetrainingPolicy.objects.filter(fleet=fleet, enabled=True).first()
    version = model.champion
    rows = {"fleet": fleet, "model": model, "version": version, "run": run, "policy": policy}
    return {"dashboard": reverse("admin:index"), **{name: page(row) for name, row in rows.items() if row is not None}}


def shoot(base: str, cookie: dict[str, str], folder: Path, *, dark: bool) -> None:
    """Write one PNG for each page."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        sys.exit("No Chromium on PATH: install one.")
    addresses = pages()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
        context.add_cookies([{**cookie, "url": base}])
        tab = context.new_page()
        for name, address in addresses.items():
            draw(tab, base + address, folder / f"{name}{'-dark' if dark else ''}.png")
        browser.close()


def draw(tab: Any, address: str, target: Path) -> None:
    """Take one page as high as it is, up to a limit."""
    tab.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    tab.goto(address, wait_until="load")
    tab.evaluate("document.fonts.ready")
    height = tab.evaluate(
        "Math.max(...[...document.querySelectorAll('#content .pn')].map(e => e.getBoundingClientRect().bottom))"
    )
    tab.set_viewport_size({"width": WIDTH, "height": int(min(max(height + 90, HEIGHT), TALLEST))})
    tab.wait_for_timeout(300)
    tab.screenshot(path=str(target))
    print(target)


def main() -> None:
    """Attach to the local servers, then draw."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--to", type=Path, default=ROOT / "docs" / "images")
    options.add_argument("--dark", action="store_true")
    chosen = options.parse_args()
    import manage

    manage.read_env_file()
    manage.prepare_process()
    manage.provide_servers("screenshots")
    import django

    django.setup()
    chosen.to.mkdir(parents=True, exist_ok=True)
    with session() as cookie, web() as base:
        shoot(base, cookie, chosen.to, dark=chosen.dark)


if __name__ == "__main__":
    main()
