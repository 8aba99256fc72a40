"""`manage.py models`: every model of a fleet with its champion and its newest version."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from registry import comparison, display, terminal
from registry.models import Fleet, ModelVersion, RegisteredModel

MANY = 2000


class Command(terminal.Command):
    """List models."""

    writes = False
    help = "List the models of a fleet with champion and newest version, read in one query."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("fleet")
        parser.add_argument("--tenant", help="owner of the fleet, where two tenants have one of this name")
        parser.add_argument("--entity-prefix", default="", metavar="TEXT", help="whose entity begins with it")
        parser.add_argument("--tag", action="append", default=[], help="also several, all of which the model has")
        parser.add_argument("--retired", action="store_true", help="only those that are retired")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read, then show; ends 3 where there is no model."""
        fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"])
        states = {"states": [RegisteredModel.State.RETIRED]} if options["retired"] else {}
        rows = comparison.latest(fleet, **states).filter(
            tags__contains=options["tag"], entity_key__startswith=options["entity_prefix"]
        )
        found = list(rows.iterator(chunk_size=MANY))
        if options["json"]:
            self.print_json({"fleet": fleet.name, "models": [_plain(each) for each in found]})
        elif found:
            self._show(fleet, found)
        else:
            self.say("No model answers.")
        if not found:
            self.end(terminal.NOTHING_TO_DO)

    def _show(self, fleet: Fleet, found: Iterable[RegisteredModel]) -> None:
        primary = fleet.metric_settings.primary
        columns = [
            "entity",
            "state",
            "champion>",
            f"{primary}>",
            "latest>",
            f"{primary}>",
            "trainer",
            "label",
            "tags~",
        ]
        rows = [_cells(each, primary) for each in found]
        self.console.print(terminal.table(f"Models of {fleet}", columns, rows))
        serving = sum(each.champion_id is not None for each in found)
        self.say(f"{display.counted(len(rows), 'model')}, {serving:,} with a champion.")


def _cells(model: RegisteredModel, primary: str) -> tuple[object, ...]:
    latest: ModelVersion | None = model.latest
    return (
        model.entity_key,
        model.state,
        *_measured(model.champion, primary),
        *_measured(latest, primary),
        latest.trainer if latest else None,
        latest.label if latest else None,
        ", ".join(model.tags),
    )


def _measured(version: ModelVersion | None, primary: str) -> tuple[str | None, str | None]:
    if version is None:
        return None, None
    quarantined = " quarantined" * (version.state == ModelVersion.State.QUARANTINED)
    return f"v{version.number}{quarantined}", terminal.number(version.scorecard.metrics.get(primary))


def _plain(model: RegisteredModel) -> dict[str, Any]:
    pointed = {name: _version(getattr(model, name)) for name in ("champion", "challenger", "latest")}
    return {"entity": model.entity_key, "state": model.state, "tags": model.tags, **pointed}


def _version(version: ModelVersion | None) -> dict[str, Any] | None:
    if version is None:
        return None
    return {
        "id": version.pk,
        "number": version.number,
        "label": version.label,
        "state": version.state,
        "trainer": version.trainer,
        "metrics": version.scorecard.metrics,
        "created_at": version.created_at,
    }
