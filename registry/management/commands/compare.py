"""`manage.py compare`: two versions of a model against each other, metric by metric, what differs first."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from pydantic_core import to_jsonable_python

from registry import comparison, terminal
from registry.comparison import Comparison, Score
from registry.management import acting
from registry.models import ModelVersion, RegisteredModel
from registry.rest_base import scope

DIGEST = 64


class Command(terminal.Command):
    """Compare two versions."""

    writes = False
    help = "Compare two versions of a model: each metric with its winner, then what differs in recipe and data."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        acting.add_model(parser)
        parser.add_argument("first", help=scope.REFERENCE)
        parser.add_argument("second", help=scope.REFERENCE)
        parser.add_argument("--all", action="store_true", help="also show what is the same")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Find the two, then show them side by side."""
        model = acting.find_model(options)
        found = comparison.compare(*(acting.find_version(model, options[name]) for name in ("first", "second")))
        if options["json"]:
            self.print_json(_plain(found))
        else:
            self._show(model, found, all=options["all"])

    def _show(self, model: RegisteredModel, found: Comparison, *, all: bool) -> None:
        one, other = f"v{found.first.number}", f"v{found.second.number}"
        names = {"first": one, "second": other}
        for warning in found.warnings:
            self.say(f"Compare with care. {warning}")
        columns = ["metric", f"{one}>", f"{other}>", "difference>", "relative>", "better", "why~"]
        rows = [_cells(score, names) for score in found.metrics]
        self.console.print(terminal.table(f"{model}: {one} against {other}", columns, rows))
        self.say()
        pairs = [
            (dimension.name, pair.name, _short(pair.first), _short(pair.second))
            for dimension in found.dimensions
            for pair in dimension.pairs
            if all or pair.differs
        ]
        if pairs:
            title = "Recipe and data" if all else "What differs in recipe and data"
            self.console.print(terminal.table(title, ["", "what", f"{one}~", f"{other}~"], pairs))
        else:
            self.say("Recipe and data are the same.")


def _cells(score: Score, names: dict[str, str]) -> tuple[object, ...]:
    relative = f"{score.relative:+.1%}" if score.relative is not None else None
    difference = f"{score.difference:+.4g}" if score.difference is not None else None
    better = names.get(score.winner, score.winner)
    return (
        score.name, terminal.number(score.first), terminal.number(score.second), difference, relative, better,
        score.reason,
    )  # fmt: skip


def _short(value: object) -> str:
    plain = to_jsonable_python(value)
    if isinstance(plain, str) and len(plain) == DIGEST:
        # Two digests differ in their first figures, or not at all.
        return f"{plain[:12]}…"
    if isinstance(plain, list):
        return ", ".join(map(str, plain))
    return "" if plain is None else str(plain)


def _plain(found: Comparison) -> dict[str, Any]:
    return {
        "first": _named(found.first),
        "second": _named(found.second),
        "primary": found.primary,
        "metrics": to_jsonable_python(found.metrics),
        "dimensions": to_jsonable_python(found.dimensions),
        "features_added": found.features_added,
        "features_removed": found.features_removed,
        "warnings": found.warnings,
    }


def _named(version: ModelVersion) -> dict[str, Any]:
    return {
        "id": version.pk,
        "number": version.number,
        "label": version.label,
        "state": version.state,
        "trainer": version.trainer,
    }
