"""`manage.py export`: writes versions as folders, now and for consumers that read files alone."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db.models import QuerySet

from registry import errors, terminal, timestamps
from registry import export as export_flow
from registry.export import Exported, Job
from registry.models import Fleet, RegisteredModel

MODELS_AT_ONCE = 500
# A line for each model is for fleets that a person looks through.
LISTED = 50
NAMED = 5


class Command(terminal.Command):
    """Parse, export model by model, tell."""

    writes = True
    help = (
        "Write the champion and the newest versions of each model as folders, with a file that says which to use. "
        "Ends 1 where a model could not be exported, 3 where there is nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("fleet", nargs="?", help="this fleet alone; default: all")
        parser.add_argument("--entity", help="this model of the fleet alone")
        parser.add_argument("--tenant", help="owner of the fleet, where two tenants have one of this name")
        parser.add_argument("--to", help="another folder than PERENNIAL_REGISTRY_EXPORT_DIR")
        parser.add_argument("--all-versions", action="store_true", help="every ready version, not the newest alone")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Export, then tell what stands where."""
        if options["entity"] and not options["fleet"]:
            raise terminal.Refused("--entity needs the fleet: manage.py export FLEET --entity ENTITY.")
        if options["to"] == "":
            raise terminal.Refused("--to needs a folder: manage.py export --to FOLDER.")
        job = Job(
            root=Path(options["to"]).absolute() if options["to"] else export_flow.root(),
            at=timestamps.utc_now(),
            all_versions=options["all_versions"],
            is_recorded=options["to"] is None,
        )
        models = _models(options)
        # Told once, not for each model.
        export_flow.check(job.root)
        seen = Seen(keeps_all=options["json"])
        for model in models:
            try:
                seen.exported(self._export(model, job))
            except errors.PerennialError as error:
                seen.failed_at(model, error)
        self._tell(job, seen, as_json=options["json"])

    def _export(self, model: RegisteredModel, job: Job) -> Exported:
        try:
            return export_flow.export(model.pk, job)
        except errors.PerennialError as error:
            if job.is_recorded:
                export_flow.note_failure(model.pk, code=error.code, sentence=str(error), at=job.at)
            raise

    def _tell(self, job: Job, seen: Seen, *, as_json: bool) -> None:
        if as_json:
            self.print_json({"root": str(job.root), "exported": seen.plain, "failed": seen.failures})
        else:
            self._show(job, seen)
        self.end(terminal.FAILED if seen.failed else terminal.DONE if seen.done else terminal.NOTHING_TO_DO)

    def _show(self, job: Job, seen: Seen) -> None:
        if not seen.done and not seen.failed:
            self.say("No model has a version yet: nothing to export.")
            return
        if 0 < seen.done <= LISTED:
            columns = ["model", "in use>", "versions>", "folder~"]
            self.console.print(terminal.table("Exported", columns, seen.rows))
        for note in seen.notes:
            self.say(note)
        for failure in seen.failures:
            self.say(f"{failure['model']}: {failure['code']}: {failure['detail']} {failure['next_step']}")
        self.say(f"Below {job.root}: {seen.done:,} exported, {seen.failed:,} failed.")
        behind = sorted(seen.behind)
        if job.is_recorded and behind:
            named = ", ".join(behind[:NAMED]) + (f" and {len(behind) - NAMED:,} more" if len(behind) > NAMED else "")
            self.say(f"Not kept current, for want of `enabled = true` below [fleet.export]: {named}.")


@dataclass(kw_only=True)
class Seen:
    """What is told at the end: counts, and as much of each model as is shown. A fleet may have any number of them."""

    keeps_all: bool
    done: int = 0
    failed: int = 0
    rows: list[tuple[object, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plain: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    behind: set[str] = field(default_factory=set)
    """Fleets that do not ask to be kept current."""

    def exported(self, each: Exported) -> None:
        self.done += 1
        if self.keeps_all:
            self.plain.append(_plain(each))
            return
        model = each.registered_model
        if self.done <= LISTED:
            number = each.version.number if each.version else None
            self.rows.append((str(model), number, len(each.labels), str(each.folder)))
        if each.note and len(self.notes) < LISTED:
            self.notes.append(f"{model}: {each.note}")
        if not model.fleet.export.enabled:
            self.behind.add(str(model.fleet))

    def failed_at(self, model: RegisteredModel, error: errors.PerennialError) -> None:
        self.failed += 1
        if self.keeps_all or self.failed <= LISTED:
            self.failures.append({"model": str(model), **error.plain()})


def _plain(each: Exported) -> dict[str, Any]:
    fleet = each.registered_model.fleet
    return {
        "tenant": fleet.tenant, "fleet": fleet.name, "entity": each.registered_model.entity_key,
        "folder": str(each.folder), "version": each.version.label if each.version else None,
        "versions": list(each.labels), "note": each.note,
    }  # fmt: skip


def _models(options: dict[str, Any]) -> Iterator[RegisteredModel]:
    rows = RegisteredModel.objects.select_related("fleet").filter(last_number__gt=0)
    if options["fleet"]:
        fleet: Fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"])
        rows = rows.filter(fleet=fleet)
        if options["entity"]:
            rows = rows.filter(pk=terminal.find_model(fleet, options["entity"]).pk)
    return _paged(rows)


def _paged(rows: QuerySet[RegisteredModel]) -> Iterator[RegisteredModel]:
    last = 0
    while page := list(rows.filter(pk__gt=last).order_by("pk")[:MODELS_AT_ONCE]):
        yield from page
        last = page[-1].pk
