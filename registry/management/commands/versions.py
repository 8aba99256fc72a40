"""`manage.py versions`: the versions of a fleet or of one model that answer a search, the newest first."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from typing import Any

from registry import comparison, metrics, terminal, timestamps
from registry.comparison import Search
from registry.models import Fleet, ModelVersion

SHOWN = 20
POINTERS = ("champion", "challenger")


def bound(text: str) -> tuple[str, float]:
    """Return metric and value of `mae=0.5`. Raises ArgumentTypeError."""
    name, sign, value = text.partition("=")
    try:
        return name, float(value) if sign else float("nan")
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not like mae=0.5") from None


class Command(terminal.Command):
    """List versions."""

    help = "List the versions of a fleet or of one model, the newest first, by metric, trainer, state, tag and time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("fleet")
        add("entity", nargs="?", help="one model of the fleet")
        add("--tenant", help="owner of the fleet, where two tenants have one of this name")
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
        if options["limit"] < 1:
            raise terminal.Refused(f"--limit {options['limit']}: allowed is 1 or more.")
        found = list(comparison.search(wanted)[: options["limit"] + 1])
        more, shown = len(found) > options["limit"], found[: options["limit"]]
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
    since, until = (_instant(options[name], name) for name in ("since", "until"))
    return Search(
        fleet=fleet,
        registered_model=model,
        states=tuple(options["state"] or ()),
        trainer=options["trainer"] or "",
        tags=tuple(options["tag"]),
        since=since,
        until=until,
        minimum=_bounds(fleet, options["min"], "min"),
        maximum=_bounds(fleet, options["max"], "max"),
        pointer="champion" if options["champions"] else "",
    )


def _instant(text: str | None, option: str) -> Any:
    if not text:
        return None
    try:
        return timestamps.parse(text, zone="UTC" if len(text) == len("2026-03-01") else None)
    except timestamps.TimestampInvalid as error:
        raise terminal.Refused(f"--{option} {text}: {error}") from error


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
    owner = version.registered_model
    pointed = [name for name in POINTERS if getattr(owner, f"{name}_id") == version.pk]
    return pointed[0] if pointed else version.state


def _plain(version: ModelVersion) -> dict[str, Any]:
    owner = version.registered_model
    return {
        "entity": owner.entity_key,
        "id": version.pk,
        "number": version.number,
        "label": version.label,
        "state": version.state,
        "pointers": [name for name in (*POINTERS, "anchor") if getattr(owner, f"{name}_id") == version.pk],
        "trainer": version.trainer,
        "metrics": version.scorecard.metrics,
        "tags": version.tags,
        "promoted_at": version.promoted_at,
        "created_at": version.created_at,
    }
