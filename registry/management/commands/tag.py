"""`manage.py tag`: adds and removes tags of a model, or of versions of it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from registry import bulk, terminal, timestamps
from registry.bulk import telling
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
        done = bulk.tag_models(
            [model],
            self.tags(options),
            actor=terminal.actor(),
            reason=options["reason"],
            at=timestamps.utc_now(),
            rehearsed=options["dry_run"],
        )
        for error in done.refused.values():
            raise error
        if options["json"]:
            self.print_json(telling.tagged([model], done, dry_run=options["dry_run"]))
        else:
            tags = ", ".join(done.changed.get(model.pk, model.tags)) or "none"
            self.say(f"{model} {'would have' if options['dry_run'] else 'has'} the tags {tags}.")
        if not done.changed:
            self.end(terminal.NOTHING_TO_DO)
