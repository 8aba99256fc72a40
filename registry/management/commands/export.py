"""`manage.py export`: writes versions as folders, now and for consumers that read files alone."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
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
        done: list[Exported] = []
        failed: list[dict[str, str]] = []
        for model in models:
            try:
                done.append(self._export(model, job))
            except errors.PerennialError as error:
                failed.append({"model": str(model), **error.plain()})
        self._tell(job, done, failed, as_json=options["json"])

    def _export(self, model: RegisteredModel, job: Job) -> Exported:
        try:
            return export_flow.export(model.pk, job)
        except errors.PerennialError as error:
            if job.is_recorded:
                export_flow.note_failure(model.pk, code=error.code, sentence=str(error), at=job.at)
            raise

    def _tell(self, job: Job, done: Sequence[Exported], failed: Sequence[dict[str, str]], *, as_json: bool) -> None:
        if as_json:
            self.print_json(
                {"root": str(job.root), "exported": [_plain(each) for each in done], "failed": list(failed)}
            )
        else:
            self._show(job, done, failed)
        self.end(terminal.FAILED if failed else terminal.DONE if done else terminal.NOTHING_TO_DO)

    def _show(self, job: Job, done: Sequence[Exported], failed: Sequence[dict[str, str]]) -> None:
        if not done and not failed:
            self.say("No model has a version yet: nothing to export.")
            return
        if 0 < len(done) <= LISTED:
            rows = [
                (str(each.registered_model), each.version.number if each.version else None, len(each.labels),
                 str(each.folder))
                for each in done
            ]  # fmt: skip
            self.console.print(terminal.table("Exported", ["model", "in use>", "versions>", "folder~"], rows))
        for each in [each for each in done if each.note][:LISTED]:
            self.say(f"{each.registered_model}: {each.note}")
        for failure in failed[:LISTED]:
            self.say(f"{failure['model']}: {failure['code']}: {failure['detail']} {failure['next_step']}")
        self.say(f"Below {job.root}: {len(done):,} exported, {len(failed):,} failed.")
        behind = sorted({str(each.registered_model.fleet) for each in done if not _is_kept_current(each)})
        if job.is_recorded and behind:
            named = ", ".join(behind[:NAMED]) + (f" and {len(behind) - NAMED:,} more" if len(behind) > NAMED else "")
            self.say(f"Not kept current, for want of `enabled = true` below [fleet.export]: {named}.")


def _is_kept_current(done: Exported) -> bool:
    return done.registered_model.fleet.export.enabled


def _plain(done: Exported) -> dict[str, Any]:
    fleet = done.registered_model.fleet
    return {
        "tenant": fleet.tenant, "fleet": fleet.name, "entity": done.registered_model.entity_key,
        "folder": str(done.folder), "version": done.version.label if done.version else None,
        "versions": list(done.labels), "note": done.note,
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
