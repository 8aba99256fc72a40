"""`manage.py up`: everything on this machine under one supervisor. Refuses a second one, and a port that is taken."""

from __future__ import annotations

import io
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management import BaseCommand, CommandError, call_command
from django.db import connections

from config import processes
from local import errors, servers, state, supervisor
from local.supervised import Process
from registry import ownership


class Command(BaseCommand):
    """Parse, check, migrate, supervise."""

    help = "Run web, beat and the workers on this machine until Ctrl-C or SIGTERM."
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--web-port", type=int, default=8000, help="port of the admin and the API; 0 takes any free"
        )
        parser.add_argument("--training-workers", type=int, help="fits at the same time; default: the cores")
        parser.add_argument(
            "--no-migrate", action="store_true", help="another step applies the migrations; work waits for it"
        )
        parser.add_argument("--no-beat", action="store_true", help="leave the ticker out")
        parser.add_argument("--only", help="comma-separated: web,beat,control,export,maintenance,interactive,training")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until told to stop."""
        folder = state.prepare(state.locate())
        try:
            with supervisor.claimed(folder):
                self._supervise(folder, options)
        except errors.LocalError as refusal:
            raise CommandError(str(refusal)) from refusal

    def _supervise(self, folder: state.State, options: dict[str, Any]) -> None:
        port = _port(options["web_port"])
        chosen = _choose(options, port)
        site = supervisor.Site(folder=folder, address=f"http://{processes.HOST}:{port}/admin/")
        running = supervisor.Supervisor(chosen, site=site, stream=sys.stdout, upkeep=servers.renew)
        for line in ("" if options["no_migrate"] else _migrate()).splitlines():
            running.console.line(supervisor.NAME, line)
        for line in [] if options["no_migrate"] else _refused_stores():
            running.console.line(supervisor.NAME, line)
        running.run()


def _port(wanted: int) -> int:
    try:
        return processes.free_port(wanted)
    except OSError as problem:
        sentence = f"Port {wanted} is taken by another program."
        raise errors.LocalError("port_taken", sentence, "Choose one with --web-port, or 0 for any free.") from problem


def _choose(options: dict[str, Any], port: int) -> list[Process]:
    slots = options["training_workers"]
    if slots is not None and slots < 1:
        sentence = f"--training-workers {slots} would fit nothing."
        raise errors.LocalError("slots_invalid", sentence, "Give 1 or more, or leave training out with --only.")
    known = processes.installation(web_port=port, training_slots=slots)
    names = [process.name for process in known]
    wanted = options["only"].split(",") if options["only"] else names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        sentence = f"There is no process {unknown[0]!r}."
        raise errors.LocalError("unknown_process", sentence, f"Choose among {', '.join(names)}.")
    return [
        process for process in known if process.name in wanted and not (options["no_beat"] and process.name == "beat")
    ]


def _refused_stores() -> list[str]:
    """Return what is wrong with the stores; the web pages and the ledger work without them."""
    try:
        return [str(each.refused) for each in map(ownership.standing, ownership.in_use()) if each.refused]
    finally:
        connections.close_all()


def _migrate() -> str:
    said = io.StringIO()
    call_command("migrate", interactive=False, verbosity=1, stdout=said, no_color=True)
    # The supervisor talks to no database; its children open connections of their own.
    connections.close_all()
    return "\n".join(line for line in said.getvalue().splitlines() if "Applying" in line)
