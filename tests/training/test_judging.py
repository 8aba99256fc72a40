"""How a champion is scored against its successor: stored, as a twin, or not at all; and what the floor lets through."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from registry import lifecycle
from registry.bulk import targets
from registry.exchange import intake
from registry.exchange.deliveries import Delivery
from registry.models import Event, ModelVersion
from registry.reports import GateReport
from tests import factories
from tests.training.daily import FIRST, Daily, daily, write
from training import clock
from training.models import Batch, Columns, FileOptions, TrainingRun
from training.policy_terms import TrainerChoice

pytestmark = pytest.mark.django_db
PROPHET = TrainerChoice(name="prophet")


def run_of(batch: Batch) -> TrainingRun:
    return TrainingRun.objects.select_related("registered_model__champion").get(batch=batch)


def champion_of(run: TrainingRun) -> ModelVersion:
    """The version that serves, which must be there."""
    assert run.registered_model.champion is not None
    return run.registered_model.champion


def report_of(run: TrainingRun) -> GateReport:
    """What the gate said, which must be there."""
    assert run.report is not None, run.sentence
    return run.report


def try_next(fleet: Daily, *choices: TrainerChoice) -> None:
    """Let the policy try other recipes from now on."""
    fleet.policy.trainers = choices
    fleet.policy.save(update_fields=["trainers"])


def shifted(path: Path, *, days: int, since: int) -> None:
    """Triple the level of the last days."""
    write(path, entities=("a",), days=days)
    header, *rows = path.read_text().splitlines()
    split = [row.split(",") for row in rows]
    raised = [
        [day, f"{float(sold) * (3 if number >= since else 1):.3f}", entity]
        for number, (day, sold, entity) in enumerate(split)
    ]
    path.write_text("\n".join([header, *(",".join(row) for row in raised)]) + "\n")


@pytest.mark.requirement("E01")
def test_a_champion_that_has_seen_the_windows_is_scored_by_a_twin_of_its_recipe(tmp_path: Path) -> None:
    fleet = daily(tmp_path, entities=("a",), trainers=(PROPHET,))
    champion = run_of(fleet.retrain())
    assert champion.details.trainer == "prophet"
    try_next(fleet, TrainerChoice(name="prophet", params={"changepoint_prior_scale": 0.2}))
    write(fleet.path, entities=("a",), days=125)
    report = report_of(run_of(fleet.retrain()))
    change = next(check for check in report.checks if check.rule == "change")
    assert (report.incumbent, report.incumbent_version) == ("twin", str(champion.version_id))
    assert change.outcome in ("passed", "failed")
    assert change.reference is not None and change.reference > 0


@pytest.mark.requirement("R09", "E04")
def test_a_damaged_champion_does_not_block_the_retraining_that_replaces_it(
    tmp_path: Path, artifact_folder: Path
) -> None:
    fleet = daily(tmp_path, entities=("a",), trainers=(PROPHET,))
    first = run_of(fleet.retrain())
    digest = champion_of(first).artifact_digest
    file = artifact_folder / "artifacts" / digest[:2] / digest
    file.chmod(0o600)
    file.write_bytes(b"damaged" + file.read_bytes()[7:])
    try_next(fleet, TrainerChoice(name="prophet", params={"changepoint_prior_scale": 0.2}))
    write(fleet.path, entities=("a",), days=160)
    run = run_of(fleet.retrain())
    assert report_of(run).incumbent == "twin"
    assert any(str(first.version_id) in warning for warning in run.details.warnings)
    assert run.state == TrainingRun.State.SUCCEEDED
    assert ModelVersion.objects.get(artifact_digest=digest).state == ModelVersion.State.QUARANTINED
    assert Event.objects.get(kind="registry.version.quarantined").cause == "damaged"
    assert run.registered_model.champion_id in (first.version_id, run.version_id)


@pytest.mark.requirement("E02")
def test_where_nothing_beats_seasonal_naive_and_nothing_serves_it_is_promoted_as_the_floor(tmp_path: Path) -> None:
    fleet = daily(tmp_path, entities=("a",), trainers=(PROPHET,))
    shifted(fleet.path, days=120, since=99)
    run = run_of(fleet.retrain())
    report = report_of(run)
    assert run.details.trainer == "seasonal_naive"
    assert report.checks[0].rule == "picked"
    assert "prophet was refused" in run.sentence
    event = Event.objects.get(kind="registry.champion.promoted")
    assert (event.cause, event.to_version_id) == ("floor", run.pk)
    assert event.cause in targets.CAUSES


def test_a_champion_is_not_replaced_by_what_is_worse_than_seasonal_naive(tmp_path: Path) -> None:
    fleet = daily(tmp_path, entities=("a",), trainers=(PROPHET,))
    champion = run_of(fleet.retrain()).version_id
    shifted(fleet.path, days=160, since=139)
    run = run_of(fleet.retrain())
    assert (run.verdict, run.code) == ("failed", "not_better")
    assert run.registered_model.champion_id == champion


@pytest.mark.requirement("E04")
def test_a_champion_that_cannot_be_scored_at_all_makes_the_gate_hold_never_pass(tmp_path: Path) -> None:
    fleet = daily(tmp_path, entities=("a",), trainers=(PROPHET,))
    champion = champion_of(run_of(fleet.retrain())).pk
    ModelVersion.objects.filter(pk=champion).update(trainer="gone")
    try_next(fleet, TrainerChoice(name="seasonal_naive"))
    write(fleet.path, entities=("a",), days=125)
    run = run_of(fleet.retrain())
    assert (run.state, run.verdict, run.code) == (TrainingRun.State.SUCCEEDED, "held", "held")
    assert report_of(run).incumbent == "unscored"
    assert run.registered_model.champion_id == champion
    assert run.registered_model.challenger_id == run.pk
    assert any("gone fits nothing here" in warning for warning in run.details.warnings)


@pytest.mark.requirement("E04", "R09")
def test_a_champion_that_raises_does_not_block_the_retraining_that_replaces_it(tmp_path: Path) -> None:
    fleet = regressions(tmp_path)
    first = run_of(fleet.retrain())
    champion = brought(fleet, first)
    run = run_of(fleet.retrain())
    assert (run.state, run.verdict) == (TrainingRun.State.SUCCEEDED, "held"), run.sentence
    assert report_of(run).incumbent == "unscored"
    assert any("Found unknown categories" in warning for warning in run.details.warnings)
    assert (champion_of(run), champion.state) == (champion, ModelVersion.State.READY)
    successor = ModelVersion.objects.get(pk=run.pk)
    made = run.registered_model
    lifecycle.promote_by_hand(
        registered_model=made, version=successor, actor="ada", reason="It answers.", at=clock.now()
    )
    made.refresh_from_db()
    assert made.champion == successor


def regressions(folder: Path) -> Daily:
    """A regression of one entity on the state of the sky; the last weeks have one that was not there before."""
    random = np.random.default_rng(3)
    sky = np.where(np.arange(160) < 100, random.integers(0, 3, 160), random.integers(0, 5, 160))
    rows = (
        f"{FIRST + timedelta(days=day)},{10 + 3 * now + random.normal():.3f},a,{now}" for day, now in enumerate(sky)
    )
    path = folder / "sky.csv"
    path.write_text("\n".join(["day,sold,product,sky", *rows]) + "\n")
    fleet = factories.fleet(kind="regression")
    columns = Columns(time="day", target="sold", entity="product", features=("sky",))
    source = factories.source(tenant=fleet.tenant, columns=columns, options=FileOptions(path=str(path)))
    ridge = (TrainerChoice(name="ridge"),)
    return Daily(fleet=fleet, policy=factories.policy(fleet=fleet, source=source, trainers=ridge), path=path)


def brought(fleet: Daily, first: TrainingRun) -> ModelVersion:
    """A champion from elsewhere that knows three states of the sky and raises at another."""
    sky = np.arange(60.0).reshape(-1, 1) % 3
    pipeline = make_pipeline(OneHotEncoder(handle_unknown="error"), Ridge()).fit(sky, sky.ravel())
    content = {"format": "sklearn-skops-1", "estimator": pipeline, "feature_names": ["sky"], "calendar": False}
    said = {"format": "sklearn-skops-1", "fit_end": "2025-03-31T00:00:00Z"}
    delivery = Delivery(entity="a", said=said, forecaster=skops.io.dumps(content))
    [version] = intake.receive(fleet.fleet, [delivery], actor="ada", at=clock.now())
    assert isinstance(version, ModelVersion), version
    assert lifecycle.admit([version.pk], actor="test", at=clock.now()).changed
    version.refresh_from_db()
    lifecycle.promote_by_hand(
        registered_model=first.registered_model, version=version, actor="ada", reason="Better.", at=clock.now()
    )
    return version
