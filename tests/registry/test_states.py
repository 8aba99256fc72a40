"""Versions are archived, restored, quarantined, released and forgotten in bulk; what is needed is spared."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import IntegrityError, connection, transaction
from pytest_django import DjangoAssertNumQueries

from registry import artifacts, history, identifiers, lifecycle
from registry.lifecycle import states, succession
from registry.models import Event, Hold, ModelVersion, RegisteredModel
from tests import factories

pytestmark = pytest.mark.django_db
NOW = factories.NOW
LATER = NOW + timedelta(days=1)


@pytest.fixture
def registered_model() -> RegisteredModel:
    return factories.registered_model()


def state_of(version: ModelVersion) -> str:
    return ModelVersion.objects.values_list("state", flat=True).get(pk=version.pk)


def archive(*versions: ModelVersion) -> lifecycle.Outcome:
    return lifecycle.archive([each.pk for each in versions], actor="ada", reason="old", at=LATER)


def test_an_archived_version_is_hidden_with_an_event_and_can_be_restored(registered_model: RegisteredModel) -> None:
    version = factories.version(registered_model=registered_model)
    assert archive(version).changed == {version.pk}
    assert state_of(version) == "archived"
    with pytest.raises(lifecycle.VersionNotReady):
        lifecycle.promote_by_hand(
            registered_model=registered_model, version=version, actor="ada", reason="try", at=LATER
        )
    assert lifecycle.restore([version.pk], actor="ada", reason="needed", at=LATER).changed == {version.pk}
    assert state_of(version) == "ready"
    lines = Event.objects.filter(registered_model=registered_model).values_list("kind", "actor", "reason")
    assert list(lines)[1:] == [
        ("registry.version.archived", "ada", "old"),
        ("registry.version.restored", "ada", "needed"),
    ]
    assert history.verify(registered_model) is None


@pytest.mark.parametrize("pointer", ["champion", "challenger", "anchor"])
def test_what_a_pointer_leads_to_is_not_archived(registered_model: RegisteredModel, pointer: str) -> None:
    version = factories.version(registered_model=registered_model)
    RegisteredModel.objects.filter(pk=registered_model.pk).update(**{pointer: version})
    outcome = archive(version)
    assert not outcome.changed
    assert isinstance(outcome.refused[version.pk], lifecycle.VersionInUse)
    assert f"is the {pointer} of" in outcome.refused[version.pk].sentence
    way_out = {"champion": "Promote another version first", "challenger": "nominate another", "anchor": "It stays"}
    assert way_out[pointer] in outcome.refused[version.pk].next_step
    assert state_of(version) == "ready"


def test_the_champion_before_is_archived_by_hand_but_never_forgotten(registered_model: RegisteredModel) -> None:
    first = factories.champion(registered_model=registered_model)
    move = factories.version(registered_model=registered_model)
    asked = lifecycle.Move(
        registered_model_id=registered_model.pk, version_id=move.pk, expected_id=first.pk, anchors=True
    )
    lifecycle.promote([asked], actor="t", cause="gate", at=NOW)
    assert archive(first).changed == {first.pk}
    refused = lifecycle.forget([first.pk], actor="ada", reason="gone", at=LATER).refused
    assert "previous champion" in refused[first.pk].sentence


@pytest.mark.parametrize(("until", "held"), [(None, True), (LATER + timedelta(days=1), True), (NOW, False)])
def test_a_hold_spares_a_version_until_it_ends(
    registered_model: RegisteredModel, until: datetime | None, held: bool
) -> None:
    version = factories.version(registered_model=registered_model)
    Hold.objects.create(version=version, placed_by="audit", reason="asked by the auditor", until=until)
    outcome = archive(version)
    assert (version.pk in outcome.refused) is held
    if held:
        refusal = outcome.refused[version.pk]
        assert (refusal.code, "asked by the auditor" in refusal.sentence) == ("version_held", True)


def test_each_version_of_a_call_gets_its_own_answer(registered_model: RegisteredModel) -> None:
    champion = factories.champion(registered_model=registered_model)
    plain = factories.version(registered_model=registered_model)
    archived = factories.version(registered_model=factories.registered_model())
    archive(archived)
    unknown = identifiers.uuid7()
    ids = [champion.pk, plain.pk, archived.pk, unknown]
    outcome = lifecycle.archive(ids, actor="ada", reason="tidy", at=LATER)
    assert outcome.changed == {plain.pk}
    codes = {version_id: error.code for version_id, error in outcome.refused.items()}
    assert codes == {
        champion.pk: "version_in_use",
        archived.pk: "version_state_forbids",
        unknown: "version_unknown",
    }


def test_a_thousand_versions_take_a_few_statements(
    registered_model: RegisteredModel, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    [stored] = lifecycle.store_artifacts([b"bytes"], format="test-1")
    items = [
        lifecycle.Registration(registered_model_id=registered_model.pk, stored=stored, trainer="ridge")
        for _ in range(1000)
    ]
    versions = lifecycle.register(items, actor="a", cause="manual", at=NOW)
    with django_assert_max_num_queries(10):
        outcome = archive(*versions)
    assert len(outcome.changed) == 1000
    assert history.verify(registered_model) is None


@pytest.mark.parametrize("reason", ["", "   "])
def test_a_change_of_state_needs_a_reason(registered_model: RegisteredModel, reason: str) -> None:
    version = factories.version(registered_model=registered_model)
    for change in (lifecycle.archive, lifecycle.restore, lifecycle.quarantine, lifecycle.release, lifecycle.forget):
        with pytest.raises(lifecycle.ReasonMissing):
            change([version.pk], actor="ada", reason=reason, at=LATER)
    assert state_of(version) == "ready"


def test_a_version_is_restored_only_where_its_bytes_hold(
    registered_model: RegisteredModel, artifact_folder: Path
) -> None:
    sound, damaged = (factories.version(registered_model=registered_model) for _ in range(2))
    archive(sound, damaged)
    (artifact_folder / artifacts.key_of(damaged.artifact_digest)).unlink()
    outcome = lifecycle.restore([sound.pk, damaged.pk], actor="ada", reason="back", at=LATER)
    assert outcome.changed == {sound.pk}
    assert outcome.refused[damaged.pk].code == "artifact_missing"
    assert state_of(damaged) == "archived"


def test_a_quarantined_challenger_waits_no_longer_and_a_champion_keeps_its_pointer(
    registered_model: RegisteredModel,
) -> None:
    champion = factories.champion(registered_model=registered_model)
    challenger = factories.version(registered_model=registered_model)
    asked = lifecycle.Move(registered_model_id=registered_model.pk, version_id=challenger.pk, expected_id=None)
    lifecycle.nominate([asked], actor="t", cause="gate", at=NOW)
    fence = RegisteredModel.objects.get(pk=registered_model.pk).fence
    outcome = lifecycle.quarantine([champion.pk, challenger.pk], actor="ada", reason="damaged", at=LATER)
    assert outcome.changed == {champion.pk, challenger.pk}
    registered_model.refresh_from_db()
    assert (registered_model.champion_id, registered_model.challenger_id) == (champion.pk, None)
    assert registered_model.fence == fence + 1


def test_a_released_version_may_serve_again(registered_model: RegisteredModel) -> None:
    version = factories.version(registered_model=registered_model)
    lifecycle.quarantine([version.pk], actor="ada", reason="looks odd", at=LATER)
    assert state_of(version) == "quarantined"
    assert lifecycle.release([version.pk], actor="ada", reason="checked", at=LATER).changed == {version.pk}
    assert lifecycle.promote_by_hand(
        registered_model=registered_model, version=version, actor="ada", reason="good", at=LATER
    )


def test_only_hidden_versions_are_forgotten_and_their_rows_stay(registered_model: RegisteredModel) -> None:
    version = factories.version(registered_model=registered_model, extra={"ticket": 7})
    refused = lifecycle.forget([version.pk], actor="ada", reason="tidy", at=LATER).refused
    assert refused[version.pk].code == "version_state_forbids"
    archive(version)
    assert lifecycle.forget([version.pk], actor="ada", reason="tidy", at=LATER).changed == {version.pk}
    kept = ModelVersion.objects.get(pk=version.pk)
    assert (kept.state, kept.extra) == ("deleted", {"ticket": 7})
    assert lifecycle.restore([version.pk], actor="ada", reason="oops", at=LATER).refused


# What a move notes.


@pytest.mark.requirement("R05")
@pytest.mark.requirement("R13")
def test_a_promotion_notes_when_each_version_served_and_who_served_before(registered_model: RegisteredModel) -> None:
    first = factories.champion(registered_model=registered_model, at=NOW)
    second = factories.champion(registered_model=registered_model, at=LATER)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.promoted_at, first.served_until) == (NOW, LATER)
    assert (second.promoted_at, second.served_until) == (LATER, None)
    registered_model.refresh_from_db()
    assert registered_model.previous_champion == first


@pytest.mark.requirement("R14")
def test_after_a_roll_back_the_one_before_is_the_one_before_that(registered_model: RegisteredModel) -> None:
    first, second, third = (
        factories.champion(registered_model=registered_model, at=NOW + timedelta(days=day)) for day in range(3)
    )
    at = NOW + timedelta(days=3)
    lifecycle.roll_back(registered_model=registered_model, actor="ada", reason="bad", at=at)
    registered_model.refresh_from_db()
    assert (registered_model.champion, registered_model.previous_champion) == (second, first)
    third.refresh_from_db()
    second.refresh_from_db()
    assert (third.served_until, second.promoted_at, second.served_until) == (at, at, None)


def test_a_move_is_never_noted_before_the_line_before_it(registered_model: RegisteredModel) -> None:
    factories.champion(registered_model=registered_model, at=LATER)
    stepped_back = factories.champion(registered_model=registered_model, at=NOW)
    stepped_back.refresh_from_db()
    event = Event.objects.filter(registered_model=registered_model, kind=history.PROMOTED).latest("count")
    assert stepped_back.promoted_at == event.at == LATER


# Many back at once.


@pytest.mark.requirement("R14")
def test_many_models_go_back_at_once_and_the_others_say_why(
    artifact_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = factories.fleet()
    good, single, damaged, empty = (factories.registered_model(fleet=fleet) for _ in range(4))
    first = factories.champion(registered_model=good)
    factories.champion(registered_model=good)
    factories.champion(registered_model=single)
    broken = factories.champion(registered_model=damaged)
    factories.champion(registered_model=damaged)
    (artifact_folder / artifacts.key_of(broken.artifact_digest)).unlink()
    done = lifecycle.roll_back_many(
        [good, single, damaged, empty], actor="ada", reason="bad data since Monday", at=LATER
    )
    assert done.to == {good.pk: first}
    codes = {model_id: error.code for model_id, error in done.refused.items()}
    assert codes == {
        single.pk: "nothing_to_roll_back_to",
        damaged.pk: "artifact_missing",
        empty.pk: "nothing_to_roll_back_to",
    }
    good.refresh_from_db()
    assert (good.champion, good.previous_champion) == (first, None)
    assert history.verify(good) is None
    assert "rolled back by ada: 1 models: bad data since Monday" in caplog.text


def test_a_hundred_models_go_back_in_a_few_statements(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    fleet = factories.fleet()
    models = [factories.registered_model(fleet=fleet) for _ in range(30)]
    for each in models:
        factories.champion(registered_model=each)
        factories.champion(registered_model=each)
    with django_assert_max_num_queries(12):
        done = lifecycle.roll_back_many(models, actor="ada", reason="bad", at=LATER)
    assert len(done.to) == 30


def test_a_roll_back_skips_what_is_archived(registered_model: RegisteredModel) -> None:
    first, second, _third = (
        factories.champion(registered_model=registered_model, at=NOW + timedelta(days=day)) for day in range(3)
    )
    archive(second)
    assert succession.previous(registered_model) == first


# What the database itself holds.


def test_the_database_refuses_a_version_in_the_fleet_of_another_model(registered_model: RegisteredModel) -> None:
    version = factories.version(registered_model=registered_model)
    other = factories.fleet()
    with pytest.raises(IntegrityError, match="version_is_in_fleet_of_model"), transaction.atomic():
        ModelVersion.objects.filter(pk=version.pk).update(fleet=other)
        connection.check_constraints()
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_the_database_refuses_a_previous_champion_of_another_model(registered_model: RegisteredModel) -> None:
    foreign = factories.version(registered_model=factories.registered_model())
    with pytest.raises(IntegrityError, match="previous_champion_is_own_version"), transaction.atomic():
        RegisteredModel.objects.filter(pk=registered_model.pk).update(previous_champion=foreign)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_forgetting_spares_every_pointer() -> None:
    assert set(states.FORGET.spared) == {"champion", "challenger", "anchor", "previous_champion"}
