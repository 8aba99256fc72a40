"""`manage.py versions`: the versions of a fleet or of one model that answer a search, the newest first."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from typing import Any

from registry import comparison, metrics, terminal
from registry.comparison import Search
from registry.models import Fleet, ModelVersion

SHOWN = 20


def bound(text: str) -> tuple[str, float]:
    """Return metric and value of `mae=0.5`. Raises ArgumentTypeError."""
    name, sign, value = text.partition("=")
    try:
        return name, float(value) if sign else float("nan")
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not like mae=0.5") from None


class Command(terminal.Command):
    """List versions."""

    writes = False
    help = "List the versions of a fleet or of one model, the newest first, by metric, trainer, state, tag and time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("fleet")
        add("entity", nargs="?", help="one model of the fleet")
        add("--tenant", help="owner of the fleet, where two tenants have one of this name")
        add("--entity-prefix", default="", metavar="TEXT", help="of entities that begin with it")
        add("--trainer")
        states = [*ModelVersion.State.values, comparison.ANY]
        add("--state", action="append", choices=states, help="also several; default: all but archived and deleted")
        add("--tag", action="append", default=[], help="also several, all of which the version has")
        add("--min", action="append", default=[], type=bound, metavar="METRIC=VALUE", help="such as r_squared=0.8")
        add("--max", action="append", default=[], type=bound, metavar="METRIC=VALUE", help="such as mae=0.5")
        add("--since", help="registered then or later; a date, or ISO 8601 with an offset")
        add("--until", help="registered before")
        add("--champions", action="store_true", help="only versions that serve")
        add("--limit", type=int, default=SHOWN, help="versions at most; default %(default)s")
        add("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Search, then show; ends 3 where nothing answers."""
        fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"])
        wanted = _wanted(fleet, options)
        limit = terminal.limit(options)
        found = list(comparison.search(wanted)[: limit + 1])
        more, shown = len(found) > limit, found[:limit]
        if options["json"]:
            self.print_json({"fleet": fleet.name, "versions": [_plain(each) for each in shown], "more": more})
        elif shown:
            self._show(fleet, wanted, shown, more)
        else:
            self.say("No version answers. Archived and deleted ones need --state.")
        if not shown:
            self.end(terminal.NOTHING_TO_DO)

    def _show(self, fleet: Fleet, wanted: Search, found: Sequence[ModelVersion], more: bool) -> None:
        measured = _columns(fleet, wanted)
        columns = ["entity", "version>", "place", "trainer", *(f"{name}>" for name in measured), "label", "tags~"]
        rows = [
            (each.registered_model.entity_key, each.number, _place(each), each.trainer,
             *(terminal.number(each.scorecard.metrics.get(name)) for name in measured),
             each.label, ", ".join(each.tags))
            for each in found
        ]  # fmt: skip
        caption = f"The newest {len(found)}; there are more, see --limit." if more else ""
        self.console.print(terminal.table(f"Versions of {fleet}", columns, rows, caption=caption))


def _wanted(fleet: Fleet, options: dict[str, Any]) -> Search:
    model = terminal.find_model(fleet, options["entity"]) if options["entity"] else None
    since, until = (terminal.instant(options, name) for name in ("since", "until"))
    return Search(
        fleet=fleet,
        registered_model=model,
        entity_prefix=options["entity_prefix"],
        states=tuple(options["state"] or ()),
        trainer=options["trainer"] or "",
        tags=tuple(options["tag"]),
        since=since,
        until=until,
        minimum=_bounds(fleet, options["min"], "min"),
        maximum=_bounds(fleet, options["max"], "max"),
        pointer="champion" if options["champions"] else "",
    )


def _bounds(fleet: Fleet, given: Sequence[tuple[str, float]], option: str) -> dict[str, float]:
    known = metrics.catalogue_of(fleet.metric_settings)
    for name, value in given:
        if name not in known:
            raise terminal.Refused(f"--{option} {name}: no such metric. {terminal.close_names(name, known)}".strip())
        if value != value or value in (float("inf"), float("-inf")):
            raise terminal.Refused(f"--{option} {name}: give a number, such as {name}=0.5.")
    return dict(given)


def _columns(fleet: Fleet, wanted: Search) -> list[str]:
    """Return the metrics to show: the fleet's own, what it is measured against, and what is searched for."""
    named = [fleet.metric_settings.primary, "relative_mae", *wanted.minimum, *wanted.maximum]
    return list(dict.fromkeys(named))


def _place(version: ModelVersion) -> str:
    placed = [name for name in version.pointers if name != "anchor"]
    return placed[0] if placed else version.state


def _plain(version: ModelVersion) -> dict[str, Any]:
    return {
        "entity": version.registered_model.entity_key,
        "id": version.pk,
        "number": version.number,
        "label": version.label,
        "state": version.state,
        "pointers": version.pointers,
        "trainer": version.trainer,
        "metrics": version.scorecard.metrics,
        "tags": version.tags,
        "promoted_at": version.promoted_at,
        "created_at": version.created_at,
    }
