"""Registering bytes while they are swept: a row never ends without its file. On committed transactions."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from registry import artifacts, lifecycle, store
from registry.lifecycle import registration
from registry.models import ModelVersion, RegisteredModel
from registry.retention import objects
from tests import factories
from tests.factories import NOW
from tests.registry import kept

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.requirement("R16")]
ROUNDS = 25


@pytest.fixture
def old(artifact_folder: Path) -> tuple[RegisteredModel, str]:
    """A model, and an old object that no version needs any more."""
    model = factories.registered_model()
    version = factories.version(registered_model=model, content=b"the same bytes")
    lifecycle.archive([version.pk], actor="a", reason="b", at=NOW)
    lifecycle.forget([version.pk], actor="a", reason="b", at=NOW)
    kept.age(artifact_folder)
    return model, version.artifact_digest


def register(model: RegisteredModel) -> None:
    stored = lifecycle.store_artifacts([b"the same bytes"], format="test-1")
    item = lifecycle.Registration(registered_model_id=model.pk, stored=stored[0], trainer="seasonal_naive")
    lifecycle.register([item], actor="test", cause="manual", at=NOW)


def sound() -> bool:
    rows = ModelVersion.objects.select_related("registered_model__fleet").filter(state="ready")
    return all(artifacts.load(version) == b"the same bytes" for version in rows)


def test_a_sweep_between_storing_and_registering_leaves_the_bytes_be(
    old: tuple[RegisteredModel, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, digest = old
    number = registration.number

    def after_a_sweep(*args: Any, **values: Any) -> Any:
        # Of another session, to which the row is not there yet.
        thread = threading.Thread(target=sweep)
        thread.start()
        thread.join(30)
        return number(*args, **values)

    def sweep() -> None:
        removed.append(objects.remove([digest], at=kept.SWEPT).objects)
        connection.close()

    removed: list[int] = []
    monkeypatch.setattr(registration, "number", after_a_sweep)
    register(model)
    assert removed == [0]
    assert ModelVersion.objects.filter(state="ready").count() == 1
    assert sound()


def test_a_registration_that_waits_for_a_sweep_stores_its_bytes_again(
    old: tuple[RegisteredModel, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, digest = old
    deleting, registered = threading.Event(), threading.Event()
    delete = store.DiskStore.delete

    def slowly(self: Any, keys: Any) -> None:
        deleting.set()
        registered.wait(1.0)
        delete(self, keys)

    def begin() -> None:
        deleting.wait(30)
        register(model)
        registered.set()
        connection.close()

    monkeypatch.setattr(store.DiskStore, "delete", slowly)
    thread = threading.Thread(target=begin)
    thread.start()
    assert objects.remove([digest], at=kept.SWEPT).objects == 1
    thread.join(30)
    assert ModelVersion.objects.filter(state="ready").count() == 1
    assert sound()


def test_many_registrations_and_sweeps_of_the_same_bytes_leave_every_row_its_file(
    old: tuple[RegisteredModel, str],
) -> None:
    model, digest = old
    failures: list[BaseException] = []

    def work(turn: int) -> None:
        try:
            for _ in range(ROUNDS):
                if turn % 2:
                    register(model)
                else:
                    ids = list(ModelVersion.objects.filter(state="ready").values_list("pk", flat=True)[:2])
                    lifecycle.archive(ids, actor="a", reason="b", at=NOW)
                    lifecycle.forget(ids, actor="a", reason="b", at=NOW)
                    objects.remove([digest], at=kept.SWEPT)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    assert ModelVersion.objects.filter(registered_model=model).count() == 2 * ROUNDS + 1
    assert sound()
