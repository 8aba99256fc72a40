"""The page with the naive and the real trainers: verdicts, versions, forecasts, and what each failure leaves behind."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import weakref
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from django.db import OperationalError

from registry import history, store
from registry.models import Event, ModelVersion, RegisteredModel
from registry.reports import GateReport
from tests import factories
from tests.training.daily import FIRST, Daily, daily, write
from training import carrying, chunks, publishing, retraining, runs, snapshots
from training.models import Batch, Chunk, Forecast, Snapshot, TrainingRun
from training.policy_terms import Expectations, Selector, TrainerChoice
from training.trainers.seasonal_naive import SeasonalNaiveTrainer

State = TrainingRun.State
pytestmark = pytest.mark.django_db


def run_of(batch: Batch, entity: str = "a") -> TrainingRun:
    return TrainingRun.objects.select_related("registered_model__champion").get(
        batch=batch, registered_model__entity_key=entity
    )


def champion_of(run: TrainingRun) -> ModelVersion:
    """The version that serves, which must be there."""
    champion = run.registered_model.champion
    assert champion is not None
    return champion


def report_of(run: TrainingRun) -> GateReport:
    """What the gate said, which must be there."""
    assert run.report is not None
    return run.report


def longer(fleet: Daily, days: int, **values: Any) -> None:
    """Newer data arrives."""
    write(fleet.path, entities=("a", "b", "c"), days=days, **values)


@pytest.mark.requirement("T17")
def test_the_first_batch_registers_every_entity_of_the_source_and_promotes_each(tmp_path: Path) -> None:
    batch = daily(tmp_path).retrain()
    assert batch.counts == {"succeeded": 3}
    assert batch.state == Batch.State.DONE
    for model in RegisteredModel.objects.all():
        assert model.champion is not None
        assert history.verify(model) is None


@pytest.mark.requirement("R01", "R02", "E03")
def test_run_version_event_and_forecast_carry_one_id(tmp_path: Path) -> None:
    run = run_of(daily(tmp_path).retrain())
    version = champion_of(run)
    assert run.pk == version.pk == run.version_id
    assert Event.objects.get(kind=history.PROMOTED, registered_model=run.registered_model).to_version_id == run.pk
    assert Forecast.objects.get(version=version).version_id == run.pk


def test_the_artifact_of_a_champion_is_what_its_row_says(tmp_path: Path, artifact_folder: Path) -> None:
    version = champion_of(run_of(daily(tmp_path).retrain()))
    digest = version.artifact_digest
    data = store.open_store(artifact_folder.as_uri()).get(f"artifacts/{digest[:2]}/{digest}")
    assert hashlib.sha256(data).hexdigest() == digest
    assert len(data) == version.artifact_size


def test_a_published_forecast_has_exactly_the_horizon_after_the_last_observation(tmp_path: Path) -> None:
    fleet = daily(tmp_path, days=100)
    model = run_of(fleet.retrain()).registered_model
    forecast = publishing.published(model)
    last = FIRST + timedelta(days=99)
    assert forecast is not None
    assert forecast.cutoff.date() == last
    assert [time.date() for time in forecast.time] == [last + timedelta(days=step) for step in range(1, 8)]
    assert len(forecast.yhat) == len(forecast.lower) == len(forecast.upper) == 7


@pytest.mark.requirement("E01")
def test_the_same_recipe_on_newer_data_is_compared_as_such_and_refreshes_the_champion(tmp_path: Path) -> None:
    fleet = daily(tmp_path)
    first = run_of(fleet.retrain())
    longer(fleet, 130)
    second = run_of(fleet.retrain())
    assert report_of(second).incumbent == "same_recipe"
    assert report_of(second).incumbent_version == str(first.version_id)
    assert second.registered_model.champion_id == second.pk


def test_a_champion_fitted_before_the_windows_is_scored_as_it_is_stored(tmp_path: Path) -> None:
    fleet = daily(tmp_path)
    fleet.retrain()
    longer(fleet, 150)
    assert report_of(run_of(fleet.retrain())).incumbent == "stored"


@pytest.mark.requirement("E02", "T15")
def test_a_candidate_that_is_not_better_is_registered_rejected_and_its_reason_stored(tmp_path: Path) -> None:
    fleet = daily(tmp_path)
    champion = run_of(fleet.retrain()).version_id
    fleet.policy.gate_limits = type(fleet.policy.gate_limits)(mae_at_most=1e-6)
    fleet.policy.save()
    longer(fleet, 130)
    run = run_of(fleet.retrain())
    assert (run.state, run.verdict, run.code) == (State.SUCCEEDED, "failed", "not_better")
    assert "at most 1e-06 is allowed" in run.sentence
    assert run.registered_model.champion_id == champion
    assert ModelVersion.objects.get(pk=run.pk).state == ModelVersion.State.READY
    event = Event.objects.get(kind="registry.version.rejected", to_version=run.pk)
    assert event.report == run.report


def test_a_champion_that_stays_publishes_from_the_newest_observations(tmp_path: Path) -> None:
    fleet = daily(tmp_path)
    model = run_of(fleet.retrain()).registered_model
    fleet.policy.gate_limits = type(fleet.policy.gate_limits)(mae_at_most=1e-6)
    fleet.policy.save()
    longer(fleet, 130)
    fleet.retrain()
    forecast = publishing.published(model)
    assert forecast is not None
    assert forecast.version_id == model.champion_id
    assert forecast.cutoff.date() == FIRST + timedelta(days=129)


@pytest.mark.parametrize(
    ("values", "champion", "challenger"),
    [
        ({"action": "register"}, False, False),
        ({"action": "challenge"}, False, True),
        ({"action": "promote"}, True, False),
        ({"action": "promote", "promote_mode": "manual"}, False, True),
    ],
)
def test_the_policy_says_what_follows_from_a_passed_gate(
    tmp_path: Path, values: dict[str, Any], champion: bool, challenger: bool
) -> None:
    model = run_of(daily(tmp_path, **values).retrain()).registered_model
    assert (model.champion_id is not None, model.challenger_id is not None) == (champion, challenger)


@pytest.mark.requirement("T01")
def test_prophet_is_fitted_refitted_on_all_rows_and_serves_what_it_stored(tmp_path: Path) -> None:
    fleet = daily(tmp_path, entities=("a",), days=120, trainers=(TrainerChoice(name="prophet"),))
    run = run_of(fleet.retrain())
    version = champion_of(run)
    assert version.trainer in ("prophet", "seasonal_naive")
    assert version.refitted
    assert version.fit_end is not None and version.fit_end.date() == FIRST + timedelta(days=119)
    assert version.train_end is not None and version.train_end.date() == FIRST + timedelta(days=119 - 21)
    assert version.scorecard.windows == 3
    assert version.scorecard.points == 21


@pytest.mark.requirement("D01")
@pytest.mark.parametrize("days", [1, 29])
def test_too_few_points_are_refused_and_the_others_go_on(tmp_path: Path, days: int) -> None:
    fleet = daily(tmp_path)
    short = tmp_path / "short.csv"
    write(short, entities=("short",), days=days)
    fleet.path.write_text(fleet.path.read_text() + "\n".join(short.read_text().splitlines()[1:]) + "\n")
    batch = fleet.retrain()
    run = run_of(batch, "short")
    assert batch.counts == {"failed": 1, "succeeded": 3}
    assert (run.state, run.code) == (State.FAILED, "too_few_points")
    assert str(days) in run.sentence and run.next_step
    assert not ModelVersion.objects.filter(registered_model=run.registered_model).exists()


@pytest.mark.requirement("D04", "T17")
def test_an_entity_that_vanished_from_the_source_is_told_by_name(tmp_path: Path) -> None:
    fleet = daily(tmp_path)
    fleet.retrain()
    write(fleet.path, entities=("a", "b"), days=130)
    run = run_of(fleet.retrain(), "c")
    assert (run.state, run.code) == (State.FAILED, "no_data")
    assert "entity c" in run.sentence


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "source_unreadable"),
        ("day,sold,product\n", "empty"),
        ("day,amount,product\n2025-01-01,1,a\n", "column_missing"),
        ("day,sold,product\n2025-01-01,many,a\n", "not_numeric"),
        ("day,sold,product\n2025-01-01,1,../x\n", "entity_invalid"),
        ("day,sold,product\nnot a day,1,a\n", "not_a_time"),
    ],
)
@pytest.mark.requirement("D02", "D03", "E04")
def test_a_source_that_cannot_be_read_ends_the_batch_with_its_reason(tmp_path: Path, text: str, code: str) -> None:
    fleet = daily(tmp_path)
    fleet.retrain()
    fleet.path.write_text(text)
    batch = fleet.retrain()
    assert (batch.state, batch.code, batch.counts) == (Batch.State.DONE, code, {"failed": 3})
    run = run_of(batch)
    assert (run.code, bool(run.sentence), bool(run.next_step)) == (code, True, True)
    assert RegisteredModel.objects.get(entity_key="a").champion_id is not None


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    fleet = daily(tmp_path)
    fleet.path.unlink()
    batch = fleet.retrain()
    assert batch.code == "source_missing"
    assert str(fleet.path) in batch.sentence


@pytest.mark.parametrize("rule", ["refuse", "mean"])
def test_duplicate_stamps_follow_the_sources_rule(tmp_path: Path, rule: str) -> None:
    fleet = daily(tmp_path)
    fleet.policy.source.duplicates = rule
    fleet.policy.source.save()
    lines = fleet.path.read_text().splitlines()
    fleet.path.write_text("\n".join([*lines, lines[1]]) + "\n")
    run = run_of(fleet.retrain())
    assert run.code == ("duplicate_stamps" if rule == "refuse" else "")


def test_one_run_that_nobody_foresaw_to_fail_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = daily(tmp_path)
    stored = retraining._stored

    def break_for_b(sealed: Any) -> Any:
        if any(each.judged.field.case.run.registered_model.entity_key == "b" for each in sealed):
            raise ZeroDivisionError("nobody foresaw this")
        return stored(sealed)

    monkeypatch.setattr(retraining, "_stored", break_for_b)
    batch = fleet.retrain()
    broken = run_of(batch, "b")
    assert batch.counts == {"failed": 1, "succeeded": 2}
    assert (broken.code, broken.sentence) == ("internal_error", "ZeroDivisionError: nobody foresaw this")
    assert "Traceback" in broken.log_lines.get().message


def test_the_one_that_breaks_a_large_slice_is_found_by_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = daily(tmp_path, entities=[f"e{place:02}" for place in range(32)], days=60)
    fleet.retrain()  # From now on it is known what a run takes, and slices are large.
    stored, tried = retraining._stored, []

    def break_for_one(sealed: Any) -> Any:
        keys = [each.judged.field.case.run.registered_model.entity_key for each in sealed]
        if "e21" in keys:
            tried.append(len(keys))
            raise ZeroDivisionError("nobody foresaw this")
        return stored(sealed)

    monkeypatch.setattr(retraining, "_stored", break_for_one)
    batch = fleet.retrain()
    assert batch.counts == {"failed": 1, "succeeded": 31}
    assert all(half <= (whole + 1) // 2 for whole, half in pairwise(tried))
    assert tried[-1] == 1


@pytest.mark.requirement("E04")
def test_a_store_that_does_not_answer_is_asked_once_a_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = daily(tmp_path)
    fleet.retrain()
    asked = []

    def refuse(sealed: Any) -> Any:
        asked.append(len(sealed))
        raise store.StoreUnavailable("The store does not answer.")

    monkeypatch.setattr(retraining, "_stored", refuse)
    batch = fleet.retrain()
    assert batch.counts == {"failed": 3}
    assert sum(asked) == 3
    assert run_of(batch, "b").code == "store_unavailable"


def test_a_chunk_that_was_taken_away_commits_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = daily(tmp_path)
    batch = fleet.request()
    [prepare] = chunks.take(limit=1, batch=batch)
    carrying.carry_out(chunk_id=prepare.chunk_id, attempt=prepare.attempt, worker="test")
    stored = retraining._stored

    def steal(sealed: Any) -> Any:
        Chunk.objects.filter(kind=Chunk.Kind.WORK, state=Chunk.State.RUNNING).update(fence=1000)
        return stored(sealed)

    monkeypatch.setattr(retraining, "_stored", steal)
    [work, *_] = chunks.take(limit=1, batch=batch)
    carrying.carry_out(chunk_id=work.chunk_id, attempt=work.attempt, worker="stale")
    assert not ModelVersion.objects.exists()
    assert not Event.objects.filter(kind=history.PROMOTED).exists()
    assert not TrainingRun.objects.filter(state=State.SUCCEEDED).exists()


def test_a_run_cancelled_while_it_is_fitted_is_never_promoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = daily(tmp_path, entities=("a",))
    stored = retraining._stored

    def cancelled_meanwhile(sealed: Any) -> Any:
        TrainingRun.objects.filter(state=State.RUNNING).update(state=State.CANCELLED)
        return stored(sealed)

    monkeypatch.setattr(retraining, "_stored", cancelled_meanwhile)
    run = run_of(fleet.retrain())
    assert run.state == State.CANCELLED
    assert run.registered_model.champion is None
    assert not ModelVersion.objects.exists()


@pytest.mark.requirement("R07")
def test_a_candidate_that_was_overtaken_is_registered_unplaced_and_the_others_are_placed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = daily(tmp_path)
    first = run_of(fleet.retrain())
    older = first.registered_model.champion
    longer(fleet, 130)
    stored = retraining._stored

    def moved_meanwhile(sealed: Any) -> Any:
        RegisteredModel.objects.filter(entity_key="a").update(champion=None)
        return stored(sealed)

    monkeypatch.setattr(retraining, "_stored", moved_meanwhile)
    batch = fleet.retrain()
    run = run_of(batch)
    assert (run.state, run.code) == (State.SUPERSEDED, "overtaken")
    assert ModelVersion.objects.filter(pk=run.pk).exists()
    assert older is not None
    assert run_of(batch, "b").state == State.SUCCEEDED


def test_memory_that_gives_out_fails_one_run_with_a_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = daily(tmp_path, entities=("a",))

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise MemoryError("cannot allocate")

    monkeypatch.setattr(retraining, "_stored", refuse)
    run = run_of(fleet.retrain())
    assert (run.state, run.code) == (State.FAILED, "out_of_memory")
    assert run.next_step


@pytest.mark.requirement("E10")
def test_an_evaluation_scores_the_champion_on_rows_it_has_not_seen_and_moves_nothing(tmp_path: Path) -> None:
    fleet = daily(tmp_path)
    champion = run_of(fleet.retrain()).version_id
    longer(fleet, 150)
    batch = fleet.retrain("a", kind="evaluate")
    run = run_of(batch)
    assert (run.state, run.version_id) == (State.SUCCEEDED, champion)
    assert run.details.metrics["mae"] is not None
    assert run.registered_model.champion_id == champion
    assert ModelVersion.objects.filter(registered_model=run.registered_model).count() == 1


def test_an_evaluation_without_newer_rows_says_that_no_score_would_be_fair(tmp_path: Path) -> None:
    fleet = daily(tmp_path)
    fleet.retrain()
    assert run_of(fleet.retrain("a", kind="evaluate")).code == "nothing_unseen"


@pytest.mark.requirement("R22")
def test_an_evaluation_that_finds_the_file_gone_quarantines_its_version(tmp_path: Path, artifact_folder: Path) -> None:
    fleet = daily(tmp_path)
    champion = champion_of(run_of(fleet.retrain()))
    digest = champion.artifact_digest
    (artifact_folder / "artifacts" / digest[:2] / digest).unlink()
    assert run_of(fleet.retrain("a", kind="evaluate")).code == "artifact_missing"
    champion.refresh_from_db()
    assert champion.state == ModelVersion.State.QUARANTINED


def test_equal_rows_make_one_snapshot(tmp_path: Path) -> None:
    fleet = daily(tmp_path)
    fleet.retrain()
    fleet.retrain()
    assert Snapshot.objects.count() == 1


@pytest.mark.requirement("T05")
def test_days_of_a_request_shorten_what_is_read(tmp_path: Path) -> None:
    run = run_of(daily(tmp_path).retrain(look_back_days=60))
    assert (run.details.days, run.details.rows) == (60, 60)


@pytest.mark.requirement("T03", "E08")
def test_a_run_keeps_what_it_used_and_found(tmp_path: Path) -> None:
    run = run_of(daily(tmp_path).retrain())
    details = run.details
    assert (details.rows, details.train_rows, details.test_rows) == (120, 99, 21)
    assert details.trainer == "seasonal_naive"
    assert {"mae", "rmse", "r_squared"} <= set(details.metrics)
    assert details.seconds is not None
    assert list(run.log_lines.values_list("level", flat=True))


def test_a_policys_expectations_are_kept(tmp_path: Path) -> None:
    fleet = daily(tmp_path, expectations=Expectations(minimum=500))
    run = run_of(fleet.retrain())
    assert run.code == "too_few_points"
    assert "500" in run.sentence


def test_a_request_by_the_runs_door_is_one_batch_with_one_snapshot(tmp_path: Path) -> None:
    batch = daily(tmp_path).retrain()
    assert batch.snapshot is not None
    assert runs.progress(batch).percent == 100


def test_the_look_back_of_every_entity_ends_at_the_newest_stamp_of_the_source(tmp_path: Path) -> None:
    """An entity that stopped early is not read further back than its policy says, also when it is read alone."""
    fleet = daily(tmp_path, entities=("a",), days=120)
    early = tmp_path / "early.csv"
    write(early, entities=("z",), days=100)
    fleet.path.write_text(fleet.path.read_text() + "\n".join(early.read_text().splitlines()[1:]) + "\n")
    factories.policy(
        fleet=fleet.fleet,
        source=fleet.policy.source,
        selector=Selector(all=False, entity_pattern="z*"),
        look_back_days=60,
    )
    batch = fleet.retrain()
    assert (run_of(batch).details.rows, run_of(batch, "z").details.rows) == (120, 40)


def test_a_reading_that_nobody_foresaw_to_fail_ends_the_batch_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = daily(tmp_path)

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr(snapshots, "_take", broken)
    batch = fleet.retrain()
    assert (batch.state, batch.code) == (Batch.State.DONE, "reading_failed")
    assert "ZeroDivisionError: nobody foresaw this" in batch.sentence


def test_a_database_that_fails_a_commit_costs_no_run_an_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = daily(tmp_path, entities=("a",))
    batch = fleet.request()
    [prepare] = chunks.take(limit=1, batch=batch)
    carrying.carry_out(chunk_id=prepare.chunk_id, attempt=prepare.attempt, worker="test")
    with monkeypatch.context() as patched:

        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise OperationalError("canceling statement due to lock timeout")

        patched.setattr(retraining, "_stored", refuse)
        for _ in range(4):
            Chunk.objects.filter(batch=batch).update(not_before=None)
            [ticket] = chunks.take(limit=1, batch=batch)
            carrying.carry_out(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="test")
    run = run_of(batch)
    assert (run.state, run.losses, run.attempt) == (State.QUEUED, 0, 0)
    Chunk.objects.filter(batch=batch).update(not_before=None)
    carrying.inline(batch, worker="test")
    assert run_of(batch).state == State.SUCCEEDED


def test_ctrl_c_gives_an_inline_chunk_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = daily(tmp_path, entities=("a",))
    with monkeypatch.context() as patched:

        def interrupt(*args: Any, **kwargs: Any) -> Any:
            raise KeyboardInterrupt

        patched.setattr(retraining, "_stored", interrupt)
        batch = fleet.request()
        with pytest.raises(KeyboardInterrupt):
            carrying.inline(batch, worker="test")
    assert run_of(batch).state == State.QUEUED


def test_a_fit_that_meets_the_time_limit_ends_timed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = daily(tmp_path, entities=("a",))

    def too_long(*args: Any, **kwargs: Any) -> Any:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(SeasonalNaiveTrainer, "_fit", too_long)
    batch = fleet.request()
    with pytest.raises(SoftTimeLimitExceeded):
        carrying.inline(batch, worker="test")
    assert (run_of(batch).state, run_of(batch).code) == (State.TIMED_OUT, "timed_out")


def test_of_a_slice_that_meets_the_time_limit_the_run_that_takes_it_is_found_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = daily(tmp_path, entities=[f"e{place:02}" for place in range(32)], days=60)
    fleet.retrain()  # From now on it is known what a run takes, and slices are large.
    stored = retraining._stored

    def too_long_for_one(sealed: Any) -> Any:
        if any(each.judged.field.case.run.registered_model.entity_key == "e21" for each in sealed):
            raise SoftTimeLimitExceeded
        return stored(sealed)

    monkeypatch.setattr(retraining, "_stored", too_long_for_one)
    batch, rounds = fleet.request(), 0
    while Batch.objects.get(pk=batch.pk).state == Batch.State.OPEN and rounds < 10:
        rounds += 1
        with contextlib.suppress(SoftTimeLimitExceeded):
            carrying.inline(batch, worker="test")
    batch.refresh_from_db()
    assert batch.counts == {"succeeded": 31, "timed_out": 1}
    assert rounds <= 4
    assert {run.attempt for run in TrainingRun.objects.filter(batch=batch)} == {1}
    assert run_of(batch, "e21").code == "timed_out"


def test_the_halves_of_a_slice_that_broke_are_tried_when_what_it_made_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = daily(tmp_path, entities=[f"e{place:02}" for place in range(16)], days=60)
    fleet.retrain()
    made: list[weakref.ref[Any]] = []
    alive: list[int] = []

    def break_always(sealed: Any) -> Any:
        gc.collect()
        alive.append(sum(each() is not None for each in made))
        if len(sealed) > 1:  # What ends a run alone is in the log, which the test keeps.
            made.append(weakref.ref(sealed[0]))
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr(retraining, "_stored", break_always)
    assert fleet.retrain().counts == {"failed": 16}
    assert len(alive) > 16
    assert set(alive) == {0}
