"""Bytes are verified before a transaction is opened, and what is done then holds only for the bytes that were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from registry import artifacts, bulk, errors, holding, lifecycle, store
from registry.lifecycle import soundness
from registry.models import Event, ModelVersion, RegisteredModel
from tests import admin_pages, factories
from tests.config.commands import run
from tests.factories import NOW
from tests.rest_client import caller

LATER = NOW + timedelta(days=2)
Look = Callable[[ModelVersion], None]


@pytest.fixture
def model() -> RegisteredModel:
    """A model with an earlier and a present champion, a ready third version, an archived and a quarantined one."""
    found = factories.registered_model(fleet=factories.fleet(name="bakery"), entity_key="bread")
    factories.champion(registered_model=found, at=NOW)
    factories.champion(registered_model=found, at=NOW + timedelta(days=1))
    for _ in range(3):
        factories.version(registered_model=found, at=NOW + timedelta(days=1))
    lifecycle.archive([version(found, 4).pk], actor="ada", reason="Old.", at=NOW)
    lifecycle.quarantine([version(found, 5).pk], actor="ada", reason="Odd.", at=NOW)
    return found


def version(model: RegisteredModel, number: int) -> ModelVersion:
    return ModelVersion.objects.select_related("registered_model__fleet").get(registered_model=model, number=number)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """What is done, beside the real reading, whenever the bytes of a version are read."""
    check_each, done = artifacts.check_each, list[Look]()

    def watched(versions: Sequence[ModelVersion]) -> Iterator[errors.PerennialError | None]:
        for found, error in zip(versions, check_each(versions), strict=True):
            for look in done:
                look(found)
            yield error

    monkeypatch.setattr(artifacts, "check_each", watched)
    return done


def bulk_body(model: RegisteredModel, action: str, number: int, **further: Any) -> tuple[str, dict[str, Any]]:
    return "versions/bulk", {
        "action": action, "versions": [str(version(model, number).pk)], "reason": "Needed.", **further,
    }  # fmt: skip


OVER_HTTP: dict[str, Callable[[RegisteredModel], tuple[str, dict[str, Any]]]] = {
    "promote": lambda _: ("models/bakery/bread/promote", {"version": "3", "reason": "Needed."}),
    "roll back": lambda _: ("models/bakery/bread/rollback", {"reason": "Needed."}),
    "roll back to": lambda _: ("models/bakery/bread/rollback", {"to": "1", "reason": "Needed."}),
    "roll back many": lambda _: ("fleets/bakery/rollback", {"filter": {"all": True}, "reason": "Needed."}),
    "preview many": lambda _: ("fleets/bakery/rollback", {"filter": {"all": True}, "dry_run": True}),
    "promote many": lambda model: bulk_body(model, "promote", 3),
    "restore many": lambda model: bulk_body(model, "restore", 4),
    "release many": lambda model: bulk_body(model, "release", 5),
    "rehearse": lambda model: bulk_body(model, "release", 5, dry_run=True),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("roles")
@pytest.mark.parametrize("name", OVER_HTTP)
def test_no_request_with_a_key_reads_a_file_in_its_transaction(
    model: RegisteredModel, looks: list[Look], name: str
) -> None:
    inside: list[bool] = []
    looks.append(lambda _: inside.append(connection.in_atomic_block))
    address, body = OVER_HTTP[name](model)
    approver = caller(role="approver")
    first = approver.post(address, body, key="k1")
    assert (first.status_code, inside) == (200, [False]), first.json()
    again = approver.post(address, body, key="k1")
    assert again.json() == first.json()
    assert (again.headers["Idempotency-Replayed"], inside) == ("true", [False])


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("roles")
def test_neither_admin_nor_command_reads_a_file_in_a_transaction(model: RegisteredModel, looks: list[Look]) -> None:
    inside: list[bool] = []
    looks.append(lambda _: inside.append(connection.in_atomic_block))
    approver = admin_pages.client(role="approver")
    assert run("promote", "bakery", "bread", "3", "--reason", "Better.").status == 0
    assert run("restore", "bakery", "bread", "4", "--reason", "Needed.", "--dry-run").status == 0
    assert run("rollback", "bakery", "bread", "--reason", "Worse.").status == 0
    for row, name in ((version(model, 4), "restore"), (version(model, 5), "release"), (version(model, 3), "promote")):
        assert approver.post(admin_pages.action(row, name), {"reason": "Needed."}).status_code == 302, name
    assert inside == [False] * 6


@pytest.mark.django_db
def test_a_request_that_names_a_pointer_is_answered_again_though_the_pointer_moved(
    model: RegisteredModel, roles: None
) -> None:
    move = lifecycle.Move(registered_model_id=model.pk, version_id=version(model, 3).pk, expected_id=None)
    lifecycle.nominate([move], actor="ada", cause="gate", at=LATER)
    approver = caller(role="approver")
    body = {"version": "challenger", "reason": "Needed."}
    answers = [approver.post("models/bakery/bread/promote", body, key="k1") for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()


def exchange(found: ModelVersion) -> None:
    """Put other bytes into the row: as somebody who writes to the database might, between look and deed."""
    ModelVersion.objects.filter(pk=found.pk).update(artifact_digest="0" * 64)


DEEDS: dict[str, Callable[[RegisteredModel], Any]] = {
    "promote": lambda model: bulk.carry_out("promote", [version(model, 3).pk], actor="a", reason="r", at=LATER),
    "restore": lambda model: bulk.carry_out("restore", [version(model, 4).pk], actor="a", reason="r", at=LATER),
    "release": lambda model: bulk.carry_out("release", [version(model, 5).pk], actor="a", reason="r", at=LATER),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", DEEDS)
def test_bytes_that_were_exchanged_since_they_were_verified_are_left(
    model: RegisteredModel, looks: list[Look], name: str
) -> None:
    before, count = dict(ModelVersion.objects.values_list("pk", "state")), Event.objects.count()
    looks.append(exchange)
    done = DEEDS[name](model)
    assert not done.changed
    assert [error.status for error in done.refused.values()] == [409]
    assert (dict(ModelVersion.objects.values_list("pk", "state")), Event.objects.count()) == (before, count)


@pytest.mark.django_db
def test_one_that_was_exchanged_since_it_was_verified_is_neither_promoted_nor_rolled_back_to(
    model: RegisteredModel,
) -> None:
    for number, deed in ((3, lifecycle.promote_by_hand), (1, lifecycle.roll_back)):
        wanted = version(model, number)
        verified = lifecycle.verify_versions([wanted])
        exchange(wanted)
        told = {"version": wanted} if deed is lifecycle.promote_by_hand else {"to": wanted}
        with pytest.raises(lifecycle.ChampionMoved):
            deed(registered_model=model, actor="a", reason="r", at=LATER, verified=verified, **told)
    model.refresh_from_db()
    assert model.champion == version(model, 2)


@pytest.mark.django_db
def test_what_was_never_verified_is_not_taken_for_sound(model: RegisteredModel) -> None:
    nothing = lifecycle.Verified()
    with pytest.raises(lifecycle.VersionChanged):
        lifecycle.promote_by_hand(
            registered_model=model, version=version(model, 3), actor="a", reason="r", at=LATER, verified=nothing
        )
    for deed, number in ((holding.restore, 4), (lifecycle.release, 5)):
        done = deed([version(model, number).pk], actor="a", reason="r", at=LATER, verified=nothing)
        assert (done.changed, len(done.refused)) == (frozenset(), 1)


@pytest.mark.django_db
def test_who_promotes_while_bytes_are_read_is_not_overtaken_by_a_promotion_of_many(
    model: RegisteredModel, looks: list[Look]
) -> None:
    verified = lifecycle.verify_for("promote", [version(model, 3).pk])
    factories.champion(registered_model=model, at=LATER)
    done = bulk.carry_out("promote", [version(model, 3).pk], actor="a", reason="r", at=LATER, verified=verified)
    assert [error.code for error in done.refused.values()] == ["champion_moved"]


@pytest.mark.django_db
@pytest.mark.requirement("R22")
def test_each_of_many_that_does_not_hold_is_refused_for_what_it_is(
    model: RegisteredModel, artifact_folder: Path, settings: Settings
) -> None:
    many = [factories.version(registered_model=model, at=LATER, content=bytes([number]) * 99) for number in range(6)]
    large = factories.version(registered_model=model, at=LATER, content=b"l" * 200)
    paths = [artifact_folder / artifacts.key_of(each.artifact_digest) for each in many]
    paths[1].unlink()
    paths[4].write_bytes(b"x" * 99)
    ModelVersion.objects.filter(pk=many[2].pk).update(artifact_digest="../" + "a" * 61)
    many[2].refresh_from_db()
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "max_artifact_bytes": 100}
    found = lifecycle.verify_versions([large, *many])
    codes = {
        version.number: found.refused[version.pk].code for version in [large, *many] if version.pk in found.refused
    }
    assert codes == {
        large.number: "artifact_too_large", many[1].number: "artifact_missing", many[4].number: "artifact_corrupted",
        many[2].number: "store_key_invalid",
    }  # fmt: skip
    assert sorted(found.digests) == sorted(each.pk for each in many if each not in (many[1], many[2], many[4]))


@pytest.mark.django_db
def test_another_folder_in_place_of_the_store_says_nothing_of_any_version(
    model: RegisteredModel, artifact_folder: Path
) -> None:
    champion = version(model, 2)
    artifact_folder.rename(artifact_folder.with_name("elsewhere"))
    (artifact_folder / "artifacts").mkdir(parents=True)
    with pytest.raises(store.StoreUnavailable):
        lifecycle.promote_many_by_hand([version(model, 3).pk], actor="ada", reason="Needed.", at=LATER)
    model.refresh_from_db()
    assert model.champion == champion


@pytest.mark.django_db
def test_what_is_not_verified_in_time_is_left_and_the_call_can_be_repeated(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soundness, "VERIFY_SECONDS", -1.0)
    others = [factories.registered_model(fleet=model.fleet, entity_key=name) for name in ("rolls", "buns")]
    wanted = [factories.version(registered_model=each, at=LATER).pk for each in others]
    first = lifecycle.promote_many_by_hand(wanted, actor="ada", reason="Needed.", at=LATER)
    assert len(first.changed) == 1
    [(left, error)] = first.refused.items()
    assert error.code == "not_verified_in_time"
    assert lifecycle.promote_many_by_hand([left], actor="ada", reason="Needed.", at=LATER).changed == {left}
