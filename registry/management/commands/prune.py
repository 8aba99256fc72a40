"""`manage.py prune`: what the retention policy keeps and why, and what it lets go; --apply marks that."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from registry import display, retention, terminal, timestamps
from registry.models import Fleet, ModelVersion
from registry.retention import Preview, selection, sweeping
from registry.retention.selection import Candidate, Scope, Tally

SHOWN = 20


class Command(terminal.Command):
    """Parse, then preview, mark or sweep."""

    writes = True
    help = "Show what the retention policy of a fleet keeps and lets go; --apply marks it, --sweep-now ends the grace."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("fleet", help="name of the fleet")
        parser.add_argument("--tenant", help="owner of the fleet, where two tenants have one of this name")
        parser.add_argument("--entity", help="mark the versions of this model alone")
        parser.add_argument("--apply", action="store_true", help="mark what is let go; it can be restored in its grace")
        parser.add_argument("--reason", default="", help="why; required with --apply")
        parser.add_argument(
            "--sweep-now", action="store_true", help="delete what is due of the fleet now, not at the next hourly sweep"
        )
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Change what was asked for, then show how the fleet stands."""
        if options["apply"] and not options["reason"].strip():
            raise terminal.Refused("--apply needs --reason: say in a sentence why.")
        fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"])
        scope = _scope(fleet, options["entity"])
        now = timestamps.utc_now()
        found: dict[str, Any] = {}
        if options["apply"]:
            found["marked"] = self._mark(scope, options["reason"], now)
        if options["sweep_now"]:
            found["swept"] = self._sweep(fleet, now, shown=not options["json"])
        self._show(fleet, scope, found, now, options)

    def _mark(self, scope: Scope, reason: str, now: datetime) -> list[Candidate]:
        marked: list[Candidate] = []
        for step in retention.mark(scope, actor=terminal.actor(), reason=reason, at=now):
            marked += step.versions
            for version_id, error in step.refused.items():
                self.warn(f"{version_id}: {error}")
        return marked

    def _sweep(self, fleet: Fleet, now: datetime, *, shown: bool) -> dict[str, int]:
        steps = list(sweeping.sweep(actor=terminal.actor(), at=now, fleet_id=fleet.pk))
        swept = {
            "versions": sum(len(step.versions) for step in steps),
            "objects": sum(step.removed.objects for step in steps),
            "bytes": sum(step.removed.size for step in steps),
        }
        for version_id, error in (pair for step in steps for pair in step.refused.items()):
            self.warn(f"{version_id}: {error}")
        if shown:
            self.say(
                f"Swept {display.counted(swept['versions'], 'version')}: {display.counted(swept['objects'], 'file')}, "
                f"{display.size(swept['bytes'])}."
            )
        return swept

    def _show(self, fleet: Fleet, scope: Scope, found: dict[str, Any], now: datetime, options: dict[str, Any]) -> None:
        seen = retention.preview(fleet, at=now)
        marked = found.get("marked")
        listed = selection.candidates(scope, at=now, limit=SHOWN + 1) if marked is None else marked
        if options["json"]:
            ids = {} if marked is None else {"marked": [str(each.id) for each in marked]}
            told = [asdict(each) for each in listed[:SHOWN]] if marked is None else []
            self.print_json({**found, **ids, "preview": asdict(seen), "candidates": told})
            return
        self.console.print(_reasons(fleet, seen))
        self.say()
        if listed:
            self.console.print(_versions("Not kept" if marked is None else "Marked", listed))
            self.say(_further(fleet, listed, marked=marked))
        for line in _lines(seen, marked=marked, now=now):
            self.say(line)
        if aside := _aside(fleet):
            self.say(aside)


def _scope(fleet: Fleet, entity: str | None) -> Scope:
    if entity is None:
        return Scope(fleet_id=fleet.pk)
    return Scope(registered_model_id=terminal.find_model(fleet, entity).pk)


def _reasons(fleet: Fleet, seen: Preview) -> Any:
    kept = [(f"kept: {reason}", *_cells(tally)) for reason, tally in seen.kept.items()]
    rows = [*kept, ("not kept", *_cells(seen.marked))]
    return terminal.table(f"Retention of {fleet.name}", ["", "models>", "versions>", "bytes>"], rows)


def _versions(title: str, listed: Sequence[Candidate]) -> Any:
    rows = [
        (each.entity_key, f"v{each.number}", f"{each.created_at:%Y-%m-%d %H:%M}", display.size(each.size), each.id)
        for each in listed[:SHOWN]
    ]
    return terminal.table(title, ["entity", "version", "registered", "bytes>", "id"], rows)


def _further(fleet: Fleet, listed: Sequence[Candidate], *, marked: Sequence[Candidate] | None) -> str:
    if len(listed) <= SHOWN:
        return ""
    if marked is not None:
        return f"{SHOWN} of {len(marked):,} are shown; with --json all are named.\n"
    return f"Not all are shown: --json, or GET /api/v1/fleets/{fleet.name}/retention/candidates.\n"


def _aside(fleet: Fleet) -> str:
    """Return a line on what no policy is asked about: whoever looked into it decides."""
    number = ModelVersion.objects.filter(fleet=fleet, state=ModelVersion.State.QUARANTINED).count()
    told = f"{display.counted(number, 'quarantined version')}, which no policy lets go: release or forget by hand."
    return told if number else ""


def _lines(seen: Preview, *, marked: Sequence[Candidate] | None, now: datetime) -> list[str]:
    waiting, due = seen.waiting, seen.due
    told = [f"Policy: {seen.policy}."]
    if marked is not None:
        told.append(
            f"Marked {display.counted(len(marked), 'version')}, {display.size(sum(each.size for each in marked))}."
        )
    if waiting.versions:
        first = f"; the first may go {timestamps.readable(waiting.first_at)}" if waiting.first_at else ""
        told.append(f"In grace: {display.counted(waiting.versions, 'version')}, {display.size(waiting.size)}{first}.")
    if due.versions:
        told.append(
            f"The next sweep deletes {display.counted(due.versions, 'version')} and frees {display.size(due.freed)}."
        )
    if seen.marked.versions and marked is None:
        told.append("Nothing was changed. To mark what is not kept: --apply --reason REASON")
    return told


def _cells(tally: Tally) -> tuple[str, str, str]:
    return f"{tally.models:,}", f"{tally.versions:,}", display.size(tally.size)
