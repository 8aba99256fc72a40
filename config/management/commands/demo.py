"""`manage.py demo`: two real fleets, each retrained twice by real workers, then the web page to look at them."""

from __future__ import annotations

import secrets
import signal
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn
from urllib import parse

from django.contrib.auth import get_user_model
from rich.padding import Padding

from config import processes
from config.demonstration import rounds, site
from config.demonstration.rounds import Played
from local import errors, state
from registry import terminal
from registry.models import ModelVersion

ROUNDS = 2
ADMIN = "admin"


class Command(terminal.Command):
    """Start the processes, play the rounds, tell what happened, and stay."""

    writes = False  # the site that it starts applies the migrations first
    help = "Train two real example fleets on this machine and show what happened."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--once", action="store_true", help="end afterwards instead of leaving the web page up")
        parser.add_argument("--port", type=int, help="port of the web page; default 8000, or any free one")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends 1 where a run failed. Ctrl-C and SIGTERM stop everything that this started."""
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            self._play(options)
        except errors.LocalError as refusal:
            raise terminal.Failed(str(refusal)) from refusal
        except KeyboardInterrupt:
            self.say("Stopped.")
        finally:
            signal.signal(signal.SIGTERM, before)

    def _play(self, options: dict[str, Any]) -> None:
        self.say("Starting database, broker, web, beat and workers ...")
        with site.running(port=options["port"]) as running:
            password = _admin_password()
            played = self._rounds()
            self._summarise(played)
            if options["once"] and not running.joined:
                self._point_back(running, password)
            else:
                self._point(running, password)
            if not options["once"]:
                self._stay(running)
        if any(each.failed for each in played):
            raise terminal.Failed("At least one run failed; its reason stands in the tables above.")

    def _rounds(self) -> list[Played]:
        """Play both rounds; once all data has come, a second one could only repeat the first."""
        played: list[Played] = []
        for number in range(1, ROUNDS + 1):
            delivered = rounds.deliver(folder=state.locate().root / "demo")
            self.say(f"Round {number}: {rounds.announced(delivered)}; every model is retrained ...")
            self.say()
            one = rounds.play(delivered, console=self.console if self.is_watched else None)
            rounds.told(one, console=self.console)
            played += one
            if not any(delivery.is_new for _, delivery in delivered):
                break
        return played

    def _summarise(self, played: Sequence[Played]) -> None:
        rows = [row for each in played for row in each.rows]
        counts = Counter(row.verdict for row in rows)
        self.say("What happened")
        self._indented(f"{len(rows)} runs: {', '.join(f'{count} {word}' for word, count in sorted(counts.items()))}.")
        stored = ModelVersion.objects.count()
        self._indented(f"{stored} versions are registered by now, also those that the gate did not let through.")
        for row in [row for row in rows if row.verdict in ("refused", "held")][:3]:
            self._indented(f"{row.entity} v{row.version} ({row.trainer}) was {row.verdict}: {row.reason}")
        self.say()

    def _point(self, running: site.Running, password: str | None) -> None:
        self.say("Where to look")
        self._indented(running.address)
        self._indented(f"user {ADMIN}, {_credential(password)}")
        self._indented("manage.py status")

    def _point_back(self, running: site.Running, password: str | None) -> None:
        self.say("Where to look")
        self._indented("Everything that this started stops now; what was trained stays.")
        self._indented("`make up` starts the web page again:")
        self._indented(f"{_served_later(running.address)}, user {ADMIN}, {_credential(password)}")

    def _stay(self, running: site.Running) -> None:
        if running.joined:
            self._indented("The installation ran before and goes on running.")
            return
        self._indented("The web page stays up until Ctrl-C.")
        while running.is_alive():
            time.sleep(0.5)
        raise terminal.Failed(f"The processes ended. Read {state.locate().log_file('up')}.")

    def _indented(self, text: str) -> None:
        self.console.print(Padding(text, (0, 0, 0, 2)))


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _admin_password() -> str | None:
    """Create the superuser with a password that is shown this once; None where it exists."""
    users = get_user_model()._default_manager
    if users.filter(username=ADMIN).exists():
        return None
    password = secrets.token_urlsafe(12)
    users.create_superuser(username=ADMIN, email="", password=password)
    return password


def _served_later(address: str) -> str:
    """Return the address of the next `up`, which takes its own port whatever this demo was given."""
    return parse.urlsplit(address)._replace(netloc=f"{processes.HOST}:{site.DEFAULT_PORT}").geturl()


def _credential(password: str | None) -> str:
    if password is None:
        return f"password as before (new one: manage.py changepassword {ADMIN})"
    return f"password {password} (shown this once)"
