"""`manage.py tag`: adds and removes tags of a model, or of versions of it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from registry import terminal, timestamps
from registry.bulk import tagging
from registry.bulk.tagging import Order
from registry.management import acting
from registry.models import RegisteredModel


class Command(acting.Command):
    """Tag a model or versions."""

    help = "Add and remove tags of versions, or of the model itself where no version is named."
    action = "tag"
    done = "tagged"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        acting.add_model(parser)
        parser.add_argument("version", nargs="*", help="number, label, id or word; none: the model")
        parser.add_argument("--add", action="append", default=[], metavar="TAG")
        parser.add_argument("--remove", action="append", default=[], metavar="TAG")
        parser.add_argument("--reason", default="", help="why; kept in the ledger")
        parser.add_argument("--dry-run", action="store_true", help="say what it would do, change nothing")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Tag the versions, or the model."""
        if options["version"]:
            super().handle(*args, **options)
        else:
            self._tag_model(acting.find_model(options), options)

    def tags(self, options: dict[str, Any]) -> Order:
        """Return which tags are added and removed."""
        return Order(add=tuple(options["add"]), remove=tuple(options["remove"]))

    def _tag_model(self, model: RegisteredModel, options: dict[str, Any]) -> None:
        order = self.tags(options)
        if options["dry_run"]:
            self.say(f"{model} would have the tags {_listed(order.applied(model.tags))}.")
            return
        done = tagging.tag_models(
            [model.pk], order, actor=terminal.actor(), at=timestamps.utc_now(), reason=options["reason"]
        )
        for error in done.refused.values():
            raise error
        model.refresh_from_db()
        if options["json"]:
            self.print_json({"model": str(model), "tags": model.tags, "changed": bool(done.changed)})
        else:
            self.say(f"{model} has the tags {_listed(model.tags)}.")
        if not done.changed:
            self.end(terminal.NOTHING_TO_DO)


def _listed(tags: list[str]) -> str:
    return ", ".join(tags) or "none"
