"""`manage.py register`: registers versions that were trained elsewhere, by the word of whoever runs the command."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from registry import terminal, timestamps
from registry.exchange import intake
from registry.exchange.deliveries import Delivery
from registry.management import registering, sending, telling
from registry.management.sending import read
from registry.models import Fleet, ModelVersion

PENDING = "A worker reads it within seconds; without a worker: manage.py inspect"
MANY_PENDING = "Workers read them by and by; without a worker: manage.py inspect"
OF_ONE = ("format", "metadata", "id", "note", "tag")


class Command(terminal.Command):
    """Register one version from files, or many from lines or a folder."""

    writes = True
    help = "Register versions that were trained elsewhere: a bundle, a forecaster with its metadata, or many of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("fleet")
        parser.add_argument("entity", nargs="?", help="for one version; many say their own")
        parser.add_argument("--tenant", help="owner of the fleet, where two tenants have one of this name")
        content = parser.add_mutually_exclusive_group(required=True)
        content.add_argument("--bundle", type=Path, metavar="FILE", help="a packed bundle")
        content.add_argument("--forecaster", type=Path, metavar="FILE", help="the bytes of a forecaster")
        content.add_argument(
            "--lines", type=Path, metavar="FILE", help="many: JSON lines as over REST; - reads the input"
        )
        content.add_argument("--folder", type=Path, metavar="DIR", help="many: ENTITY.bundle or ENTITY/NAME.bundle")
        parser.add_argument("--format", help="of the forecaster, such as prophet-json-1")
        parser.add_argument("--metadata", type=Path, metavar="FILE", help="what is said of it, in JSON")
        parser.add_argument("--id", metavar="UUID", help="the id that it is to have; default: a new one")
        parser.add_argument("--note", help="a sentence for those who read it later")
        parser.add_argument("--tag", action="append", help="a tag; may stand several times")
        parser.add_argument("--create", action="store_true", help="enrol the entity where the fleet does not know it")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends 0 registered, 1 where one was refused or the store failed, 2 usage, 3 where there is nothing to do.

        The files of one version that are refused end it with 2.
        """
        fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"])
        if options["lines"] or options["folder"]:
            self._many(fleet, options)
        else:
            self._one(fleet, options)

    def _one(self, fleet: Fleet, options: dict[str, Any]) -> None:
        if not options["entity"]:
            raise terminal.Refused("Name the entity that the version is of, after the fleet.")
        if not options["create"]:
            terminal.find_model(fleet, options["entity"])
        which = "bundle" if options["bundle"] else "forecaster"
        delivery = Delivery(entity=options["entity"], said=_said(options), **{which: read(options[which])})
        version = intake.only(
            intake.receive(fleet, [delivery], actor=terminal.actor(), at=timestamps.utc_now(), create=options["create"])
        )
        tell(self, version, as_json=options["json"])

    def _many(self, fleet: Fleet, options: dict[str, Any]) -> None:
        given = [f"--{name}" for name in OF_ONE if options[name]] + (["an entity"] if options["entity"] else [])
        if given:
            raise terminal.Refused(f"{' and '.join(given)} is said of one version; say it in each line, or bundle.")
        words = registering.Registered(after=MANY_PENDING)
        with _sent(options) as sent, telling.told(self, words, as_json=options["json"]) as told:
            registering.register(fleet, sent, create=options["create"], told=told)
        if not told.count:
            self.warn(f"There is nothing to register: {_looked_for(options)}.")
            self.end(terminal.NOTHING_TO_DO)
        if told.refused:
            self.end(terminal.FAILED)


def _looked_for(options: dict[str, Any]) -> str:
    if options["lines"] is not None:
        return "no line holds anything"
    return f"{options['folder']} has neither ENTITY{sending.SUFFIX} nor ENTITY/NAME{sending.SUFFIX}"


@contextmanager
def _sent(options: dict[str, Any]) -> Iterator[Iterator[sending.Sent]]:
    path: Path | None = options["lines"]
    if path is None:
        yield sending.bundles(options["folder"])
    elif str(path) == "-":
        yield sending.lines(sys.stdin.buffer)
    else:
        with sending.opened(path) as stream:
            yield sending.lines(stream)


def tell(command: terminal.Command, version: ModelVersion, *, as_json: bool) -> None:
    """Say which version was registered."""
    found = ModelVersion.objects.select_related("registered_model__fleet").get(pk=version.pk)
    if as_json:
        names = {"id": str(found.pk), "model": str(found.registered_model), "number": found.number}
        command.print_json({**names, "label": found.label, "state": found.state})
    else:
        command.say(f"Registered {found} ({found.label}), id {found.pk}. It is {found.state}. {PENDING}")


def _said(options: dict[str, Any]) -> dict[str, Any]:
    """Return what the file of metadata says, and what options say before it."""
    told = {"format": options["format"], "version_id": options["id"], "note": options["note"], "tags": options["tag"]}
    given = {name: value for name, value in told.items() if value is not None}
    return {**_metadata(options["metadata"]), **given}


def _metadata(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        found = json.loads(read(path))
    except (ValueError, RecursionError) as error:
        raise terminal.Refused(f"{path} is not JSON in UTF-8: {error}.") from error
    if not isinstance(found, dict):
        raise terminal.Refused(f"{path} is no JSON object.")
    return found
