"""A real installation for tests: `manage.py up` on a folder of its own, with shortened times, driven from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import psycopg

from local import state

PROJECT = Path(__file__).resolve().parents[1]
T = TypeVar("T")
PASSWORD = "correct horse battery"
SHORT = {
    "PERENNIAL_TRAINING_LEASE_SECONDS": "3",
    "PERENNIAL_TRAINING_HEARTBEAT_SECONDS": "0.5",
    "PERENNIAL_TRAINING_DISPATCHED_SECONDS": "5",
    "PERENNIAL_TRAINING_DISPATCH_EVERY_SECONDS": "1",
    "PERENNIAL_TRAINING_SWEEP_EVERY_SECONDS": "1",
    "PERENNIAL_TRAINING_WORKER_SILENT_SECONDS": "10",
    # A worker with anything in hand waits for all of it, also when that was done at once.
    "PERENNIAL_WORKER_STOP_SECONDS": "5",
}


def until(found: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """Return the first thing that is found. Raises TimeoutError naming it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (value := found()) is not None and value is not False:
            return value
        time.sleep(0.05)
    raise TimeoutError(f"{what} did not come within {seconds:.0f} s.")


@dataclass(frozen=True)
class Answer:
    """What the web process said."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class Installation:
    """One running `manage.py up`."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    token: str = ""
    _up: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        own = ("PERENNIAL_", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "COV_", "COVERAGE_")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        return {**clean, **SHORT, **self.settings, "PERENNIAL_STATE_DIR": str(self.folder)}

    @property
    def log(self) -> str:
        """Everything that the processes have written."""
        return (self.folder / "up.out").read_text(encoding="utf-8", errors="replace")

    def start(self) -> Installation:
        """Start everything and wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "manage.py", "up", "--web-port", "0", "--training-workers", "2", *self.arguments]
        with (self.folder / "up.out").open("wb") as out:
            self._up = subprocess.Popen(
                command, cwd=PROJECT, env=self.environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        until(lambda: self.page().get("ready"), seconds=90, what=f"readiness ({self.folder})")
        return self

    def stop(self) -> int:
        """Stop everything and return the exit status."""
        assert self._up is not None
        self._up.send_signal(signal.SIGTERM)
        return self._up.wait(timeout=100)

    def page(self) -> dict[str, Any]:
        """What the supervisor says of its processes."""
        assert self._up is not None
        if self._up.poll() is not None:
            raise RuntimeError(f"`manage.py up` has ended:\n{self.log[-3000:]}")
        try:
            said: dict[str, Any] = json.loads((self.folder / "up.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return said

    def pid(self, name: str) -> int:
        """The process of one role."""
        return int(self.page()["processes"][name]["pid"])

    def manage(self, *arguments: str, check: bool = True, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a management command beside the running processes."""
        command = [sys.executable, "manage.py", *arguments]
        environment = {**self.environment, **settings}
        ended = subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        if check and ended.returncode:
            raise RuntimeError(f"{' '.join(arguments)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
        return ended

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        sockets = state.locate(self.folder).sockets
        with psycopg.connect(
            host=str(sockets), user="perennial", dbname="perennial", autocommit=True, connect_timeout=10
        ) as connection:
            cursor = connection.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def http(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Call the API and return what it says, also when it refuses."""
        base = urlsplit(self.page()["address"])
        request = urllib.request.Request(
            f"http://{base.netloc}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token}", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                return Answer(reply.status, dict(reply.headers), _parsed(reply.read()))
        except urllib.error.HTTPError as refused:
            return Answer(refused.code, dict(refused.headers), _parsed(refused.read()))

    def admin(self, path: str) -> str:
        """Return a page of the admin as the user `ops` sees it."""
        base = f"http://{urlsplit(self.page()['address']).netloc}"
        jar = CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        browser.open(f"{base}/admin/login/", timeout=20).read()
        token = next(cookie.value or "" for cookie in jar if cookie.name == "csrftoken")
        form = {"username": "ops", "password": PASSWORD, "csrfmiddlewaretoken": token, "next": path}
        sent = urllib.request.Request(f"{base}/admin/login/", data=urlencode(form).encode(), headers={"Referer": base})
        return str(browser.open(sent, timeout=20).read().decode())

    def admit(self) -> None:
        """Make the superuser `ops` and a token that may do everything."""
        self.manage(
            "createsuperuser",
            "--noinput",
            "--username",
            "ops",
            "--email",
            "ops@example.org",
            DJANGO_SUPERUSER_PASSWORD=PASSWORD,
        )
        self.token = self.manage("token", "ops", "--label", "tests", "--scope", "admin").stdout.split()[-1]

    def batch_done(self, batch_id: str, *, seconds: float) -> dict[str, int]:
        """Wait for the end of a batch and return its runs by state."""

        def ended() -> dict[str, int] | None:
            state, counts = self.sql("SELECT state, counts FROM training_batch WHERE id = %s", batch_id)[0]
            return counts if state == "done" else None

        return until(ended, seconds=seconds, what=f"the end of batch {batch_id}")


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode("utf-8", errors="replace")
