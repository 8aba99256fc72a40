"""`manage.py register`: registers a version that was trained elsewhere, by the word of whoever runs the command."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from registry import conf, terminal, timestamps
from registry.exchange import intake
from registry.exchange.deliveries import Delivery
from registry.management import acting
from registry.models import ModelVersion

PENDING = "A worker reads it within seconds; without a worker: manage.py inspect"


class Command(terminal.Command):
    """Register a version from files."""

    writes = True
    help = "Register a version that was trained elsewhere: a bundle, or a forecaster with its metadata."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        acting.add_model(parser)
        content = parser.add_mutually_exclusive_group(required=True)
        content.add_argument("--bundle", type=Path, metavar="FILE", help="a packed bundle")
        content.add_argument("--forecaster", type=Path, metavar="FILE", help="the bytes of a forecaster")
        parser.add_argument("--format", help="of the forecaster, such as prophet-json-1")
        parser.add_argument("--metadata", type=Path, metavar="FILE", help="what is said of it, in JSON")
        parser.add_argument("--id", metavar="UUID", help="the id that it is to have; default: a new one")
        parser.add_argument("--note", help="a sentence for those who read it later")
        parser.add_argument("--tag", action="append", help="a tag; may stand several times")
        parser.add_argument("--create", action="store_true", help="enrol the entity where the fleet does not know it")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends 0 registered, 1 where the id is taken or the store failed, 2 where the files are refused."""
        fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"])
        if not options["create"]:
            terminal.find_model(fleet, options["entity"])
        which = "bundle" if options["bundle"] else "forecaster"
        delivery = Delivery(entity=options["entity"], said=_said(options), **{which: read(options[which])})
        version = intake.only(
            intake.receive(fleet, [delivery], actor=terminal.actor(), at=timestamps.utc_now(), create=options["create"])
        )
        tell(self, version, as_json=options["json"])


def tell(command: terminal.Command, version: ModelVersion, *, as_json: bool) -> None:
    """Say which version was registered."""
    found = ModelVersion.objects.select_related("registered_model__fleet").get(pk=version.pk)
    if as_json:
        names = {"id": str(found.pk), "model": str(found.registered_model), "number": found.number}
        command.print_json({**names, "label": found.label, "state": found.state})
    else:
        command.say(f"Registered {found} ({found.label}), id {found.pk}. It is {found.state}. {PENDING}")


def read(path: Path) -> bytes:
    """Return the bytes of a file. Raises Refused for one that cannot be read or is larger than an artifact may be."""
    try:
        size, most = path.stat().st_size, conf.current().max_artifact_bytes
        if size > most:
            raise terminal.Refused(f"{path} has {size} bytes; at most {most} are registered.")
        return path.read_bytes()
    except OSError as error:
        raise terminal.Refused(f"{path} cannot be read: {error.strerror}.") from error


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
