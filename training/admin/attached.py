"""What training puts on the registry's pages: actions, columns, and panels of policies, batches, runs and forecasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.http import HttpRequest

from registry import admin as registry_admin
from registry import display, timestamps
from registry.admin.extensions import Column, Panel
from registry.admin.registered_models import metric
from registry.models import Fleet, ModelVersion, RegisteredModel
from training.admin import published, retrain, schedule
from training.admin.outcomes import batch_outcome
from training.models import Batch, RetrainingPolicy, TrainingRun

SHOWN_MODELS = 25
SHOWN_ROWS = 8
State = TrainingRun.State
LAST_RUN = {"passed": "last_passed", "failed": "last_refused"}  # by verdict: the badge of a model with a champion


def newest_runs(models: Sequence[RegisteredModel]) -> dict[int, TrainingRun]:
    """Return the newest run of each model that says something about it: a skipped one does not."""
    rows = TrainingRun.objects.filter(registered_model__in=[each.pk for each in models]).exclude(state=State.SKIPPED)
    newest = (
        rows.order_by("registered_model_id", "-id")
        .distinct("registered_model_id")
        .defer("reasons", "report", "details")
    )
    return {run.registered_model_id: run for run in newest}


def condition(model: RegisteredModel, run: TrainingRun | None) -> str:
    """Return the badge for a model: paused, running, failing, held, new, or how its last run ended."""
    if model.state != RegisteredModel.State.ACTIVE:
        return model.state
    if run is not None and run.state in TrainingRun.OPEN:
        return "running" if run.state == State.RUNNING else "queued"
    if model.champion is not None and model.champion.state == ModelVersion.State.QUARANTINED:
        return "quarantined"
    if run is not None and run.state in (State.FAILED, State.TIMED_OUT):
        return "failing"
    if model.champion is None:
        return "new"
    if model.challenger_id is not None:
        return "held"
    return LAST_RUN.get(run.verdict, "serving") if run is not None and run.state == State.SUCCEEDED else "serving"


def outcome(run: TrainingRun | None) -> Any:
    """Return how a run ended: its verdict where a gate decided, else its state; with the sentence."""
    if run is None:
        return display.NOTHING
    ended = display.verdict(run.verdict) if run.verdict and run.state == State.SUCCEEDED else display.badge(run.state)
    pill = display.linked(ended, display.address(run))
    return display.spread(display.joined(pill, _short(run.sentence))) if run.sentence else pill


def _short(text: str, most: int = 160) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def freshness(version: ModelVersion | None) -> Any:
    """Return the age of the newest observation that a version was fitted on."""
    if version is None or version.fit_end is None:
        return display.NOTHING
    return display.stacked(
        display.stamp(version.fit_end), f"{display.span(timestamps.utc_now() - version.fit_end)} ago"
    )


def fleet_models(request: HttpRequest, fleet: Fleet) -> dict[str, Any]:
    """Return the first models of a fleet with what serves and how the last run ended."""
    models = list(
        RegisteredModel.objects.filter(fleet=fleet)
        .select_related("champion", "fleet")
        .order_by("entity_key")[: SHOWN_MODELS + 1]
    )
    runs = newest_runs(models)
    rows = [_model_row(model, runs.get(model.pk)) for model in models[:SHOWN_MODELS]]
    more = display.listing(RegisteredModel, fleet=fleet.pk) if len(models) > SHOWN_MODELS else ""
    return {
        "heads": ("Model", "Condition", "Champion", "MAE", "Relative MAE", "Last run", "Fitted on data to"),
        "rows": rows,
        "more": more,
        "more_text": "All models of the fleet",
        "empty": _first_model(fleet),
    }


def _first_model(fleet: Fleet) -> str:
    if retrain.is_governed(fleet):
        return "No model yet: the first retraining registers every entity of the source."
    return "No model yet: register a version that was trained elsewhere, and let that make its model."


def _model_row(model: RegisteredModel, run: TrainingRun | None) -> tuple[Any, ...]:
    champion = model.champion
    return (
        display.link(model, model.entity_key),
        display.badge(condition(model, run)),
        display.link(champion, f"v{champion.number}") if champion else display.NOTHING,
        display.number(metric(champion, "mae")) if champion else display.NOTHING,
        display.number(metric(champion, "relative_mae")) if champion else display.NOTHING,
        outcome(run),
        freshness(champion),
    )


def fleet_policies(request: HttpRequest, fleet: Fleet) -> dict[str, Any]:
    """Return the policies of a fleet with their next slots."""
    policies = RetrainingPolicy.objects.filter(fleet=fleet).select_related("fleet")
    rows = [
        (
            display.link(policy, policy.name),
            schedule.state(policy),
            display.stacked(display.code(policy.cron), policy.time_zone),
            schedule.next_due(policy),
        )
        for policy in policies
    ]
    return {
        "heads": ("Policy", "State", "Cron, zone", "Next slot"),
        "rows": rows,
        "empty": "No policy.",
        "note": retrain.wanting(fleet),
    }


def fleet_batches(request: HttpRequest, fleet: Fleet) -> dict[str, Any]:
    """Return the newest batches of a fleet."""
    batches = Batch.objects.filter(fleet=fleet).select_related("policy").order_by("-id")[:SHOWN_ROWS]
    rows = [
        (
            display.linked(display.instant(batch.requested_at), display.address(batch)),
            batch_outcome(batch),
            batch.policy.name if batch.policy else display.NOTHING,
            batch.reason.trigger,
            counts(batch.counts) or f"{batch.expected} runs",
        )
        for batch in batches
    ]
    return {
        "heads": ("Asked for", "State", "Policy", "Trigger", "Runs"),
        "rows": rows,
        "more": display.listing(Batch, fleet=fleet.pk),
    }


def counts(found: Mapping[str, int]) -> str:
    """Return counts by state in words."""
    return ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in found.items() if number)


def model_runs(request: HttpRequest, model: RegisteredModel) -> dict[str, Any]:
    """Return the newest runs of a model."""
    runs = TrainingRun.objects.filter(registered_model=model).select_related("version").defer("report").order_by("-id")
    rows = [
        (
            display.linked(display.instant(run.requested_at), display.address(run)),
            display.badge(run.state),
            display.verdict(run.verdict),
            display.link(run.version, f"v{run.version.number}") if run.version else display.NOTHING,
            _short(run.sentence) or display.NOTHING,
        )
        for run in runs[:SHOWN_ROWS]
    ]
    more = display.listing(TrainingRun, registered_model__id__exact=model.pk)
    return {
        "heads": ("Asked for", "State", "Verdict", "Version", "In words"),
        "rows": rows,
        "more": more,
        "more_text": "All runs",
        "empty": "No run yet.",
        "note": retrain.wanting(model.fleet),
    }


def version_run(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    """Return the run that made a version, which has its id."""
    run = TrainingRun.objects.filter(pk=version.pk).select_related("batch").first()
    if run is None:
        return {"rows": [("Run", "registered from elsewhere")]}
    return {
        "rows": [
            ("Run", display.link(run, "the run that made it")),
            ("How it ended", outcome(run)),
            ("Asked for by", ", ".join(f"{each.trigger} ({each.actor})" for each in run.reasons) or display.NOTHING),
            ("Seconds of work", display.number(run.details.seconds)),
            (
                "Forecasts published",
                display.linked("their list", display.listing(version.forecasts.model, version__id__exact=version.pk)),
            ),
        ]
    }


def _conditions(models: Sequence[RegisteredModel]) -> dict[Any, Any]:
    runs = newest_runs(models)
    return {model.pk: outcome(runs.get(model.pk)) for model in models}


def _ages(models: Sequence[RegisteredModel]) -> dict[UUID | int, Any]:
    return {model.pk: freshness(model.champion) for model in models}


registry_admin.FLEET_ACTIONS.append(retrain.RETRAIN_FLEET)
registry_admin.MODEL_ACTIONS.append(retrain.RETRAIN_MODEL)
registry_admin.MODEL_COLUMNS.extend(
    [
        Column(name="last_run", title="last run", values=_conditions),
        Column(name="freshness", title="fitted on data to", values=_ages),
    ]
)
registry_admin.FLEET_PANELS.extend(
    [
        Panel(title="Policies", template="registry/admin/table.html", build=fleet_policies),
        Panel(title="Models", template="registry/admin/table.html", build=fleet_models, wide=True),
        Panel(title="Recent batches", template="registry/admin/table.html", build=fleet_batches, wide=True),
    ]
)
registry_admin.MODEL_PANELS.extend(
    [
        Panel(title="Published forecast", template="registry/admin/chart_panel.html", build=published.card, wide=True),
        Panel(title="Runs", template="registry/admin/table.html", build=model_runs, wide=True),
    ]
)
registry_admin.VERSION_PANELS.append(Panel(title="Run", template="registry/admin/facts.html", build=version_run))
