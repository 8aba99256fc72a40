"""`manage.py status`: fleets, models, open batches, workers, the ticker and the stores, at one look."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from config import standing
from config.standing import ModelLine, Standing
from registry import display, terminal

MODELS_SHOWN = 50

# The dispatcher ticks about every second; a beat that has been silent for this long is not running.
SILENT = timedelta(seconds=30)


class Command(terminal.Command):
    """Show how things stand."""

    writes = False
    help = "Show fleets, models, open batches, workers, the ticker, and what is wrong with the stores."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--fleet", help="show this fleet alone")
        parser.add_argument("--tenant", help="owner of the fleet, where two tenants have one of this name")
        parser.add_argument("--limit", type=int, default=MODELS_SHOWN, help="models at most; default %(default)s")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read once, then tell."""
        if options["limit"] < 0:
            raise terminal.Refused(f"--limit {options['limit']}: allowed is 0 or more.")
        fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"]) if options["fleet"] else None
        now = standing.take(fleet=fleet, models=options["limit"])
        if options["json"]:
            self.print_json(asdict(now))
        else:
            self._show(now)

    def _show(self, now: Standing) -> None:
        for table in (self._fleets(now), *self._models(now), self._batches(now), self._workers(now)):
            if table is not None:
                self.console.print(table)
                self.say()
        for line in _lines(now):
            self.say(line)

    def _fleets(self, now: Standing) -> Any:
        rows = [
            (each.name if _one_tenant(now) else f"{each.tenant}/{each.name}", each.kind, each.models, each.champions,
             terminal.ago(each.last_batch_at, now.at), each.last_batch, terminal.ago(each.next_slot, now.at),
             "paused" if each.paused else "active")
            for each in now.fleets
        ]  # fmt: skip
        columns = ["fleet", "kind", "models>", "champions>", "last batch", "its runs~", "next slot", "state"]
        return _table("Fleets", columns, rows)

    def _models(self, now: Standing) -> list[Any]:
        """Return a table for each fleet; its name stands once, so that long entities find room."""
        groups: dict[str, list[ModelLine]] = {}
        for each in now.models:
            groups.setdefault(each.fleet, []).append(each)
        left_out = f"{now.models_left_out:,} more; see --limit and --fleet" if now.models_left_out else ""
        captions = [""] * (len(groups) - 1) + [left_out]
        return [_models(*group, caption, now) for group, caption in zip(groups.items(), captions, strict=False)]

    def _batches(self, now: Standing) -> Any:
        rows = [
            (each.batch, each.fleet, each.trigger, each.queue, f"{each.ended} of {each.expected}",
             terminal.ago(each.requested_at, now.at))
            for each in now.open_batches
        ]  # fmt: skip
        return _table("Open batches", ["batch", "fleet", "trigger", "queue", "ended>", "requested"], rows)

    def _workers(self, now: Standing) -> Any:
        rows = [
            (each.name, ", ".join(each.queues), each.slots, terminal.ago(each.seen_at, now.at)) for each in now.workers
        ]
        return _table("Workers", ["worker", "queues~", "slots>", "seen"], rows)


def _models(fleet: str, models: Sequence[ModelLine], caption: str, now: Standing) -> Any:
    columns = ["entity", "champion~", "MAE>", "relative MAE>", "last run", "when"]
    rows: list[list[object]] = [
        [each.entity, _champion(each), terminal.number(each.mae),
         terminal.number(each.relative_mae, 3), each.last_run, terminal.ago(each.last_run_at, now.at)]
        for each in models
    ]  # fmt: skip
    if any(each.state != "active" for each in models):
        columns, rows = [*columns, "state"], [[*row, each.state] for row, each in zip(rows, models, strict=True)]
    return _table(f"Models of {fleet}", columns, rows, caption=caption)


def _champion(model: ModelLine) -> str | None:
    if not model.champion:
        return None
    return f"v{model.champion} {model.champion_state if model.champion_state != 'ready' else model.trainer}"


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> Any:
    """Return the table, or None where it would be empty."""
    cells = list(rows)
    return terminal.table(title, columns, cells, caption=caption) if cells else None


def _one_tenant(now: Standing) -> bool:
    return len({each.tenant for each in now.fleets}) <= 1


def _lines(now: Standing) -> list[str]:
    """Return what no table says: what is absent, the ticker, the switch."""
    told = [] if now.fleets else ["No fleet yet. Next: manage.py apply examples/bakery/fleet.toml"]
    if not now.workers:
        told.append("No worker is alive. Next: manage.py up")
    if now.champions_quarantined:
        told.append(
            f"{display.counted(now.champions_quarantined, 'champion')} quarantined: the last good one of each answers. "
            "Next: versions FLEET --champions --state quarantined lists them, rollback FLEET goes back."
        )
    told += [
        f"{each.sentence} ({each.code}, first seen {terminal.ago(each.since, now.at)}) Next: {each.next_step}"
        for each in now.stores
    ]
    told.append(f"Last tick: {_tick(now)}")
    told.append(f"Schedules: {'on' if now.enabled else 'off for the whole installation (PERENNIAL_TRAINING_ENABLED)'}")
    return told


def _tick(now: Standing) -> str:
    if now.last_tick is None:
        return "never; beat has not run yet. Next: manage.py up"
    silent = now.at - now.last_tick > SILENT
    return f"{terminal.ago(now.last_tick, now.at)}" + ("; beat is silent. Next: manage.py up" if silent else "")
