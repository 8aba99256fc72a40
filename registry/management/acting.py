"""What the commands share that act on versions: they find them, do one thing to each, and tell what became of it."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from registry import bulk, errors, terminal, timestamps
from registry.bulk import Done, telling
from registry.bulk.tagging import Order
from registry.models import ModelVersion, RegisteredModel
from registry.rest_base import scope


class Command(terminal.Command):
    """Do `action` to versions of one model; ends 0 done, 1 where one was refused, 2 usage, 3 nothing to do."""

    writes = True
    action: ClassVar[str]
    done: ClassVar[str]
    """What a version then is, in a word."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add_model(parser)
        self.add_versions(parser)
        parser.add_argument("--reason", default="", help="why; kept in the ledger. Needed but for --dry-run")
        parser.add_argument("--dry-run", action="store_true", help="say what it would do, change nothing")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def add_versions(self, parser: ArgumentParser) -> None:
        """Declare how versions are named."""
        parser.add_argument("version", nargs="+", help=scope.REFERENCE)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and tell."""
        model = find_model(options)
        named = options["version"] if isinstance(options["version"], list) else [options["version"]]
        versions = [find_version(model, each) for each in named]
        self.tell(versions, self.carry_out([each.pk for each in versions], options), options)

    def carry_out(self, version_ids: Sequence[UUID], options: dict[str, Any]) -> Done:
        """Do it to these versions, or rehearse it. Raises reasons.ReasonMissing."""
        return bulk.carry_out(
            self.action,
            version_ids,
            actor=terminal.actor(),
            reason=options["reason"],
            at=timestamps.utc_now(),
            tags=self.tags(options),
            rehearsed=options["dry_run"],
        )

    def tags(self, options: dict[str, Any]) -> Order | None:
        """Return which tags are meant, where the action is about tags."""
        return None

    def tell(self, versions: Sequence[ModelVersion], done: Done, options: dict[str, Any]) -> None:
        """Say what became of each version, and end with the status for it."""
        if options["json"]:
            told = [{**telling.named(each), **telling.outcome(done, each.pk)} for each in dict.fromkeys(versions)]
            self.print_json(telling.changed(self.action, done, told, dry_run=options["dry_run"]))
        else:
            would = "would be" if options["dry_run"] else "is"
            for each in dict.fromkeys(versions):
                self._say(each, done, would)
        if done.refused:
            self.end(terminal.FAILED)
        if not done.changed:
            self.end(terminal.NOTHING_TO_DO)

    def _say(self, version: ModelVersion, done: Done, would: str) -> None:
        if error := done.refused.get(version.pk):
            self.warn(str(error))
        elif version.pk in done.changed:
            self.say(f"{version} ({version.label}) {would} {self.done}.")
        else:
            self.say(f"{version} ({version.label}) is so already.")


def add_model(parser: ArgumentParser) -> None:
    """Declare the options that name a model."""
    parser.add_argument("fleet")
    parser.add_argument("entity")
    parser.add_argument("--tenant", help="owner of the fleet, where two tenants have one of this name")


def find_model(options: dict[str, Any]) -> RegisteredModel:
    """Return the model that the options name. Raises Refused."""
    return terminal.find_model(terminal.find_fleet(options["fleet"], tenant=options["tenant"]), options["entity"])


def find_version(model: RegisteredModel, reference: str) -> ModelVersion:
    """Return a version of the model by number, label, id or word. Raises Refused naming where to look."""
    try:
        return scope.version_of(model, reference)
    except (errors.NotFound, errors.Invalid) as error:
        where = f"manage.py versions {model.fleet.name} {model.entity_key}"
        raise terminal.Refused(f"{error.sentence} Its versions: {where}") from error
