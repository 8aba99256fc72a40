"""Versions are registered in order and placed by compare-and-set; every move stands in the ledger."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from pytest_django import DjangoAssertNumQueries

from registry import artifacts, history, identifiers, lifecycle
from registry.lifecycle import Move
from registry.models import Event, ModelVersion, RegisteredModel
from registry.reports import Verdict
from tests import factories

pytestmark = pytest.mark.django_db
NOW = factories.NOW
State = ModelVersion.State
LATER = NOW + timedelta(days=1)


@pytest.fixture
def registered_model() -> RegisteredModel:
    return factories.registered_model()


def move(version: ModelVersion, *, expected: UUID | None = None, **values: Any) -> Move:
    return Move(
        registered_model_id=version.registered_model_id,
        version_id=version.pk,
        expected_id=expected,
        **values,
    )


def promote(*moves: Move, at: datetime = NOW) -> lifecycle.Placed:
    return lifecycle.promote(moves, actor="worker", cause="gate", at=at)


def kinds(registered_model: RegisteredModel) -> list[str]:
    return list(Event.objects.filter(registered_model=registered_model).values_list("kind", flat=True))


# Registering.


@pytest.mark.requirement("R01")
@pytest.mark.requirement("R20")
def test_a_version_keeps_the_id_that_the_caller_gives(registered_model: RegisteredModel) -> None:
    chosen = identifiers.uuid7()
    version = factories.version(
        registered_model=registered_model, version_id=chosen, extra={"ticket": 7}, params={"alpha": 0.5}
    )
    read = ModelVersion.objects.get(pk=chosen)
    assert (read, read.number, read.state) == (version, 1, "ready")
    assert (read.extra, read.params, read.artifact_format) == ({"ticket": 7}, {"alpha": 0.5}, "test-1")
    [event] = Event.objects.all()
    assert (event.kind, event.to_version_id, event.fleet_id) == (
        "registry.version.registered",
        chosen,
        registered_model.fleet_id,
    )


@pytest.mark.requirement("R01")
def test_an_id_that_is_taken_is_a_conflict_and_nothing_of_the_call_stays(registered_model: RegisteredModel) -> None:
    taken = factories.version(registered_model=registered_model)
    other = factories.registered_model()
    items = [
        factories.registration(registered_model=other),
        factories.registration(registered_model=other, version_id=taken.pk),
    ]
    with pytest.raises(lifecycle.VersionIdTaken, match=str(taken.pk)):
        lifecycle.register(items, actor="a", cause="manual", at=NOW)
    assert ModelVersion.objects.count() == 1


def test_one_id_twice_in_a_call_is_a_conflict(registered_model: RegisteredModel) -> None:
    item = factories.registration(registered_model=registered_model)
    with pytest.raises(lifecycle.VersionIdTaken):
        lifecycle.register([item, item], actor="a", cause="manual", at=NOW)
    assert not Event.objects.exists()


@pytest.mark.requirement("R02")
@pytest.mark.requirement("R03")
def test_a_thousand_registrations_in_one_second_sort_as_registered(registered_model: RegisteredModel) -> None:
    [stored] = lifecycle.store_artifacts([b"bytes"], format="test-1")
    items = [
        lifecycle.Registration(registered_model_id=registered_model.pk, stored=stored, trainer="ridge")
        for _ in range(1000)
    ]
    versions = lifecycle.register(items[:600], actor="a", cause="manual", at=NOW)
    # In the rest of the calls the clock has stepped back by an hour.
    for start in range(600, 1000, 100):
        chunk = items[start : start + 100]
        versions += lifecycle.register(chunk, actor="a", cause="manual", at=NOW - timedelta(hours=1))
    labels = [version.label for version in versions]
    assert labels == sorted(labels)
    assert len(set(labels)) == 1000
    assert {label[:15] for label in labels} == {"20260301_120000"}
    assert re.fullmatch(r"\d{8}_\d{6}_\d{6}", labels[0])
    assert [version.number for version in versions] == list(range(1, 1001))
    assert len({version.pk for version in versions}) == 1000
    assert list(ModelVersion.objects.order_by("label").values_list("pk", flat=True)) == [v.pk for v in versions]
    assert history.verify(registered_model) is None


@pytest.mark.requirement("R03")
def test_labels_grow_again_when_the_clock_has_caught_up(registered_model: RegisteredModel) -> None:
    stamps = [NOW, NOW - timedelta(minutes=5), NOW + timedelta(seconds=1)]
    labels = [factories.version(registered_model=registered_model, at=at).label for at in stamps]
    assert labels == ["20260301_120000_000001", "20260301_120000_000002", "20260301_120001_000003"]


@pytest.mark.parametrize(
    "values",
    [
        {"extra": {"text": "x" * 20_000}},
        {"extra": {"number": float("nan")}},
        {"params": {"number": float("inf")}},
        {"params": {"object": object()}},
        {"extra": {"text": "a\0b"}},
        {"extra": {"text": "\\\0"}},
        {"params": {"text": "\ud800"}},
        {"params": {"text": "x" * 70_000}},
        {"library_versions": {f"library {number}": "1.0" for number in range(5000)}},
        {"fit_end": datetime(2026, 3, 1)},  # noqa: DTZ001  # naive is the point
    ],
)
@pytest.mark.requirement("R05")
def test_metadata_that_cannot_be_kept_is_refused(registered_model: RegisteredModel, values: dict[str, Any]) -> None:
    with pytest.raises(lifecycle.MetadataInvalid):
        factories.version(registered_model=registered_model, **values)
    assert not ModelVersion.objects.exists()


def test_letters_that_only_look_like_an_escape_are_kept(registered_model: RegisteredModel) -> None:
    version = factories.version(registered_model=registered_model, extra={"path": "C:\\u0000"})
    version.refresh_from_db()
    assert version.extra == {"path": "C:\\u0000"}


def test_a_model_that_does_not_exist_is_named(registered_model: RegisteredModel) -> None:
    [stored] = lifecycle.store_artifacts([b"bytes"], format="test-1")
    item = lifecycle.Registration(registered_model_id=10**9, stored=stored, trainer="ridge")
    with pytest.raises(history.ModelMissing, match="1000000000"):
        lifecycle.register([item], actor="a", cause="manual", at=NOW)


# Promoting.


@pytest.mark.requirement("R06")
@pytest.mark.requirement("R13")
def test_the_first_champion_is_also_the_anchor(registered_model: RegisteredModel) -> None:
    version = factories.version(registered_model=registered_model)
    report = factories.gate_report()
    assert promote(move(version, report=report, reason="first")).placed == {version.pk}
    registered_model.refresh_from_db()
    assert registered_model.champion == registered_model.anchor == version
    assert registered_model.fence == 1
    event = Event.objects.latest("id")
    assert (event.kind, event.from_version, event.to_version) == ("registry.champion.promoted", None, version)
    assert (event.actor, event.cause, event.reason, event.report, event.fence, event.at) == (
        "worker",
        "gate",
        "first",
        report,
        1,
        NOW,
    )


def test_a_new_champion_leaves_the_anchor_unless_it_becomes_it(registered_model: RegisteredModel) -> None:
    first, second, third = (factories.version(registered_model=registered_model) for _ in range(3))
    promote(move(first))
    promote(move(second, expected=first.pk))
    registered_model.refresh_from_db()
    assert (registered_model.champion, registered_model.anchor) == (second, first)
    promote(move(third, expected=second.pk, anchors=True))
    registered_model.refresh_from_db()
    assert (registered_model.champion, registered_model.anchor, registered_model.fence) == (third, third, 3)


@pytest.mark.requirement("R07")
def test_a_stale_promote_places_nothing_while_the_others_of_the_call_commit() -> None:
    models = [factories.registered_model() for _ in range(3)]
    served = factories.champion(registered_model=models[1])
    versions = [factories.version(registered_model=registered_model) for registered_model in models]
    before = Event.objects.count()
    # The second still believes that there is no champion.
    result = promote(*(move(version) for version in versions))
    assert result.placed == {versions[0].pk, versions[2].pk}
    assert result.overtaken == {versions[1].pk}
    for registered_model in models:
        registered_model.refresh_from_db()
    assert [registered_model.champion for registered_model in models] == [versions[0], served, versions[2]]
    assert Event.objects.count() == before + 2
    assert models[1].fence == 1
    assert ModelVersion.objects.get(pk=versions[1].pk).state == "ready"


def test_a_champion_that_is_expected_but_gone_is_overtaken(registered_model: RegisteredModel) -> None:
    first, second = (factories.version(registered_model=registered_model) for _ in range(2))
    assert promote(move(second, expected=first.pk)).overtaken == {second.pk}


def test_a_champion_is_not_promoted_over_itself(registered_model: RegisteredModel) -> None:
    version = factories.champion(registered_model=registered_model)
    assert promote(move(version, expected=version.pk)).overtaken == {version.pk}
    assert kinds(registered_model).count("registry.champion.promoted") == 1


@pytest.mark.parametrize("state", ["pending", "quarantined", "archived", "deleted"])
@pytest.mark.requirement("R06")
def test_a_version_that_is_not_ready_is_never_placed(registered_model: RegisteredModel, state: str) -> None:
    version = factories.version(registered_model=registered_model)
    ModelVersion.objects.update(state=state)
    assert promote(move(version)).overtaken == {version.pk}
    assert lifecycle.nominate([move(version)], actor="a", cause="gate", at=NOW).overtaken == {version.pk}
    with pytest.raises(lifecycle.VersionNotReady, match=state):
        lifecycle.promote_by_hand(registered_model=registered_model, version=version, actor="a", reason="x", at=NOW)
    registered_model.refresh_from_db()
    assert (registered_model.champion, registered_model.challenger) == (None, None)


def test_a_version_of_another_model_is_never_placed(registered_model: RegisteredModel) -> None:
    foreign = factories.version(registered_model=factories.registered_model())
    wrong = Move(registered_model_id=registered_model.pk, version_id=foreign.pk, expected_id=None)
    assert promote(wrong).overtaken == {foreign.pk}
    with pytest.raises(lifecycle.VersionForeign):
        lifecycle.promote_by_hand(registered_model=registered_model, version=foreign, actor="a", reason="x", at=NOW)


@pytest.mark.requirement("R06")
@pytest.mark.parametrize("pointer", ["champion", "challenger", "anchor"])
def test_the_database_refuses_a_pointer_to_another_models_version(
    registered_model: RegisteredModel, pointer: str
) -> None:
    foreign = factories.version(registered_model=factories.registered_model())
    with pytest.raises(IntegrityError, match=f"{pointer}_is_own_version"), transaction.atomic():
        RegisteredModel.objects.filter(pk=registered_model.pk).update(**{pointer: foreign})
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.requirement("R02", "R26")
@pytest.mark.parametrize("column", ["number", "label"])
def test_the_database_refuses_a_number_and_a_label_that_another_version_of_the_model_has(
    registered_model: RegisteredModel, column: str
) -> None:
    first, second = (factories.version(registered_model=registered_model) for _ in range(2))
    with pytest.raises(IntegrityError, match=f"{column}_is_unique_in_registered_model"), transaction.atomic():
        ModelVersion.objects.filter(pk=second.pk).update(**{column: getattr(first, column)})


def test_the_database_refuses_a_second_line_in_one_place_of_a_chain(registered_model: RegisteredModel) -> None:
    factories.version(registered_model=registered_model)
    line = Event.objects.get()
    line.pk = None
    with pytest.raises(IntegrityError, match="event_place_is_unique_in_chain"), transaction.atomic():
        Event.objects.bulk_create([line])


def test_a_registration_that_counts_from_an_old_head_registers_nothing(
    registered_model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if nothing had locked the model: of two that count alike the database lets one in."""
    old = history.lock([registered_model.pk])
    factories.version(registered_model=registered_model)
    monkeypatch.setattr(history, "lock", lambda ids: old)
    item = factories.registration(registered_model=registered_model)
    with pytest.raises(IntegrityError, match="is_unique_in_"):
        lifecycle.register([item], actor="a", cause="manual", at=NOW)
    assert ModelVersion.objects.count() == Event.objects.count() == 1


def test_two_moves_of_one_model_in_one_call_are_refused(registered_model: RegisteredModel) -> None:
    versions = [factories.version(registered_model=registered_model) for _ in range(2)]
    with pytest.raises(Exception, match="once"):
        promote(*(move(version) for version in versions))
    registered_model.refresh_from_db()
    assert registered_model.champion is None


def test_a_call_without_moves_does_nothing() -> None:
    assert promote() == lifecycle.Placed(placed=frozenset(), overtaken=frozenset())
    assert lifecycle.register([], actor="a", cause="manual", at=NOW) == []


def test_moves_inside_a_transaction_that_fails_leave_nothing(registered_model: RegisteredModel) -> None:
    version = factories.version(registered_model=registered_model)
    events = Event.objects.count()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        promote(move(version))
        _ = 1 / 0
    registered_model.refresh_from_db()
    assert registered_model.champion is None
    assert Event.objects.count() == events
    assert history.verify(registered_model) is None


@pytest.mark.requirement("R26")
def test_many_moves_take_few_statements(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    fleet = factories.fleet()
    models = [factories.registered_model(fleet=fleet) for _ in range(300)]
    [stored] = lifecycle.store_artifacts([b"bytes"], format="test-1")
    items = [lifecycle.Registration(registered_model_id=m.pk, stored=stored, trainer="ridge") for m in models]
    with django_assert_max_num_queries(14):
        versions = lifecycle.register(items, actor="a", cause="schedule", at=NOW)
    with django_assert_max_num_queries(10):
        placed = promote(*(move(version) for version in versions))
    assert len(placed.placed) == 300
    assert all(history.verify(registered_model) is None for registered_model in models[:5])


# Nominating and rejecting.


def test_a_challenger_waits_and_stops_waiting_when_it_becomes_champion(registered_model: RegisteredModel) -> None:
    champion = factories.champion(registered_model=registered_model)
    version = factories.version(registered_model=registered_model)
    held = factories.gate_report(verdict=Verdict.HELD)
    assert lifecycle.nominate([move(version, report=held)], actor="w", cause="gate", at=NOW).placed == {version.pk}
    registered_model.refresh_from_db()
    assert (registered_model.champion, registered_model.challenger) == (champion, version)
    assert Event.objects.latest("id").report == held
    promote(move(version, expected=champion.pk))
    registered_model.refresh_from_db()
    assert (registered_model.champion, registered_model.challenger) == (version, None)


def test_a_stale_nomination_and_that_of_the_champion_place_nothing(registered_model: RegisteredModel) -> None:
    champion = factories.champion(registered_model=registered_model)
    first, second = (factories.version(registered_model=registered_model) for _ in range(2))
    lifecycle.nominate([move(first)], actor="w", cause="gate", at=NOW)
    for refused in (move(second), move(champion, expected=first.pk)):
        assert lifecycle.nominate([refused], actor="w", cause="gate", at=NOW).overtaken == {refused.version_id}
    registered_model.refresh_from_db()
    assert registered_model.challenger == first


@pytest.mark.requirement("R13")
def test_a_rejection_is_recorded_with_its_report_and_ends_waiting(registered_model: RegisteredModel) -> None:
    champion = factories.champion(registered_model=registered_model)
    version = factories.version(registered_model=registered_model)
    lifecycle.nominate([move(version)], actor="w", cause="gate", at=NOW)
    report = factories.gate_report(verdict=Verdict.FAILED, reason="worse")
    lifecycle.reject([move(version, report=report, reason="worse")], actor="w", cause="gate", at=NOW)
    registered_model.refresh_from_db()
    assert (registered_model.champion, registered_model.challenger, registered_model.fence) == (champion, None, 3)
    event = Event.objects.latest("id")
    assert (event.kind, event.to_version, event.from_version) == ("registry.version.rejected", version, None)
    assert event.report == report


# Rolling back.


@pytest.mark.requirement("R14")
def test_a_rollback_serves_the_champion_before_and_warns(
    registered_model: RegisteredModel, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (factories.champion(registered_model=registered_model) for _ in range(2))
    with caplog.at_level(logging.WARNING, logger="registry.lifecycle"):
        event = lifecycle.roll_back(registered_model=registered_model, actor="ops", reason=" bad night ", at=LATER)
    registered_model.refresh_from_db()
    assert registered_model.champion == first
    assert (event.kind, event.from_version, event.to_version) == ("registry.champion.rolled_back", second, first)
    assert (event.actor, event.cause, event.reason, event.at) == ("ops", "rollback", "bad night", LATER)
    [record] = caplog.records
    assert record.levelname == "WARNING" and "version 1" in record.getMessage()
    assert history.verify(registered_model) is None


@pytest.mark.requirement("R14")
def test_rolling_back_twice_goes_further_back_and_not_forth(registered_model: RegisteredModel) -> None:
    first, second, _ = (factories.champion(registered_model=registered_model) for _ in range(3))
    served = []
    for _ in range(2):
        lifecycle.roll_back(registered_model=registered_model, actor="ops", reason="worse", at=LATER)
        registered_model.refresh_from_db()
        served.append(registered_model.champion)
    assert served == [second, first]
    with pytest.raises(lifecycle.NothingToRollBackTo):
        lifecycle.roll_back(registered_model=registered_model, actor="ops", reason="worse", at=LATER)
    fourth = factories.champion(registered_model=registered_model, at=LATER)
    lifecycle.roll_back(registered_model=registered_model, actor="ops", reason="worse", at=LATER)
    registered_model.refresh_from_db()
    assert registered_model.champion == first != fourth


@pytest.mark.requirement("R14")
def test_a_rollback_passes_over_a_champion_that_is_not_ready(registered_model: RegisteredModel) -> None:
    first, second, _ = (factories.champion(registered_model=registered_model) for _ in range(3))
    ModelVersion.objects.filter(pk=second.pk).update(state="quarantined")
    lifecycle.roll_back(registered_model=registered_model, actor="ops", reason="worse", at=LATER)
    registered_model.refresh_from_db()
    assert registered_model.champion == first


@pytest.mark.requirement("R14")
@pytest.mark.parametrize("state", ["archived", "quarantined"])
def test_a_rollback_to_what_cannot_serve_says_which_versions_would_do(
    registered_model: RegisteredModel, state: str
) -> None:
    first, second, third = (factories.champion(registered_model=registered_model) for _ in range(3))
    ModelVersion.objects.filter(pk=second.pk).update(state=state)
    foreign = factories.version(registered_model=factories.registered_model())
    refusals = [
        (second, lifecycle.VersionNotReady),
        (third, lifecycle.AlreadyChampion),
        (foreign, lifecycle.VersionForeign),
    ]
    for target, refusal in refusals:
        with pytest.raises(refusal, match="Ready are the versions 1") as raised:
            lifecycle.roll_back(registered_model=registered_model, to=target, actor="ops", reason="worse", at=LATER)
        assert raised.value.code
    event = lifecycle.roll_back(registered_model=registered_model, to=first, actor="ops", reason="worse", at=LATER)
    assert event.to_version == first


def test_a_rollback_without_any_champion_is_refused(registered_model: RegisteredModel) -> None:
    factories.version(registered_model=registered_model)
    with pytest.raises(lifecycle.NothingToRollBackTo):
        lifecycle.roll_back(registered_model=registered_model, actor="ops", reason="worse", at=NOW)


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_move_by_hand_needs_a_reason(registered_model: RegisteredModel, reason: str) -> None:
    first, second = (factories.champion(registered_model=registered_model) for _ in range(2))
    with pytest.raises(lifecycle.ReasonMissing):
        lifecycle.roll_back(registered_model=registered_model, actor="ops", reason=reason, at=NOW)
    with pytest.raises(lifecycle.ReasonMissing):
        lifecycle.promote_by_hand(registered_model=registered_model, version=first, actor="a", reason=reason, at=NOW)
    registered_model.refresh_from_db()
    assert registered_model.champion == second


@pytest.mark.requirement("R22")
def test_a_version_whose_bytes_do_not_hold_is_not_rolled_back_to(
    registered_model: RegisteredModel, artifact_folder: Path
) -> None:
    first, second = (factories.champion(registered_model=registered_model) for _ in range(2))
    (artifact_folder / artifacts.key_of(first.artifact_digest)).unlink()
    with pytest.raises(artifacts.ArtifactMissing, match=str(first.pk)):
        lifecycle.roll_back(registered_model=registered_model, actor="ops", reason="worse", at=NOW)
    registered_model.refresh_from_db()
    assert registered_model.champion == second


@pytest.mark.requirement("R13")
def test_a_version_promoted_by_hand_serves_at_once(registered_model: RegisteredModel) -> None:
    champion = factories.champion(registered_model=registered_model)
    version = factories.version(registered_model=registered_model)
    event = lifecycle.promote_by_hand(
        registered_model=registered_model, version=version, actor="ann", reason="looks right", at=LATER
    )
    registered_model.refresh_from_db()
    assert registered_model.champion == version
    assert (event.kind, event.cause, event.from_version) == ("registry.champion.promoted", "manual", champion)
    with pytest.raises(lifecycle.AlreadyChampion):
        lifecycle.promote_by_hand(registered_model=registered_model, version=version, actor="a", reason="x", at=LATER)


def by_hand(registered_model: RegisteredModel, version: ModelVersion) -> Event:
    return lifecycle.promote_by_hand(
        registered_model=registered_model, version=version, actor="ada", reason="needed", at=NOW
    )


def test_a_move_by_hand_leaves_from_what_serves_now_not_from_what_was_read(registered_model: RegisteredModel) -> None:
    read = RegisteredModel.objects.get(pk=registered_model.pk)
    wanted = factories.version(registered_model=registered_model)
    serving = factories.champion(registered_model=registered_model)
    assert by_hand(read, wanted).from_version_id == serving.pk
    assert history.verify(registered_model) is None


def test_what_a_version_became_since_it_was_read_is_what_refuses_it(registered_model: RegisteredModel) -> None:
    wanted = factories.version(registered_model=registered_model)
    lifecycle.archive([wanted.pk], actor="ada", reason="old", at=NOW)
    assert wanted.state == State.READY
    with pytest.raises(lifecycle.VersionNotReady, match="archived"):
        by_hand(registered_model, wanted)


def test_a_version_swept_since_it_was_read_is_refused_as_deleted(
    registered_model: RegisteredModel, artifact_folder: Path
) -> None:
    wanted = factories.version(registered_model=registered_model)
    ModelVersion.objects.filter(pk=wanted.pk).update(state=State.DELETED)
    (artifact_folder / artifacts.key_of(wanted.artifact_digest)).unlink()
    with pytest.raises(lifecycle.VersionNotReady, match="deleted"):
        by_hand(registered_model, wanted)


def pages() -> dict[UUID, str]:
    """In which page of the table each version lies."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, (ctid::text::point)[0] FROM registry_modelversion")
        return dict(cursor.fetchall())


def test_a_promotion_finds_room_beside_the_row_that_it_changes() -> None:
    # A row that moves to another page is written into every index once more.
    versions = [factories.version(registered_model=factories.registered_model()) for _ in range(40)]
    before = pages()
    assert len(promote(*map(move, versions)).placed) == 40
    assert len(set(before.values())) > 1 and pages() == before
