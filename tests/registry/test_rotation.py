"""Signatures move to a new key without reading a file; what does not verify is never signed anew."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import Settings

from registry import artifacts, history
from registry.artifacts import signatures
from registry.models import Event, ModelVersion
from registry.upkeep import rotation
from tests import factories

pytestmark = pytest.mark.django_db
NOW = factories.NOW


def set_keys(settings: Settings, keys: str) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "signing_keys": keys}


@pytest.fixture
def versions(settings: Settings) -> list[ModelVersion]:
    """Three that an old key has signed; since then there is a new one."""
    set_keys(settings, "old:old-secret")
    model = factories.registered_model()
    made = [factories.version(registered_model=model) for _ in range(3)]
    set_keys(settings, "new:new-secret, old:old-secret")
    return made


def rotate() -> rotation.Rotated:
    return rotation.rotate(actor="ops", at=NOW)


def uses() -> dict[str, tuple[int, bool, bool]]:
    return {use.key_id: (use.versions, use.signs, use.known) for use in rotation.uses()}


def run(*options: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("rotate_keys", *options, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


@pytest.mark.requirement("X02")
def test_versions_load_with_the_new_key_alone(versions: list[ModelVersion], settings: Settings) -> None:
    done = rotate()
    assert (done.key_id, done.resigned, done.refused, done.unproven) == ("new", 3, 0, ())
    assert uses() == {"new": (3, True, True), "old": (0, False, True)}
    set_keys(settings, "new:new-secret")
    assert all(artifacts.load(version) for version in ModelVersion.objects.all())


def test_batches_go_on_where_the_last_ended(versions: list[ModelVersion], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH_ROWS", 2)
    assert rotate().resigned == 3
    assert rotate().resigned == 0


@pytest.mark.requirement("X02")
def test_a_version_whose_old_signature_does_not_hold_is_quarantined_and_not_signed(
    versions: list[ModelVersion],
) -> None:
    forged = versions[1]
    ModelVersion.objects.filter(pk=forged.pk).update(artifact_format="another-1")
    before = ModelVersion.objects.get(pk=forged.pk)
    done = rotate()
    assert (done.resigned, done.refused, [each.pk for each in done.listed]) == (2, 1, [forged.pk])
    after = ModelVersion.objects.get(pk=forged.pk)
    assert after.state == ModelVersion.State.QUARANTINED
    assert (after.artifact_key_id, after.artifact_signature) == ("old", before.artifact_signature)
    event = Event.objects.get(kind="registry.version.quarantined")
    assert (event.to_version_id, event.actor, event.cause) == (forged.pk, "ops", "key rotation")


def test_with_a_wrong_secret_nothing_is_changed(versions: list[ModelVersion], settings: Settings) -> None:
    set_keys(settings, "new:new-secret, old:another-secret")
    done = rotate()
    assert (done.resigned, done.refused, done.unproven) == (0, 0, ("old",))
    assert uses()["old"] == (3, False, True)
    assert set(ModelVersion.objects.values_list("state", flat=True)) == {"ready"}


def test_a_row_that_changes_meanwhile_is_not_vouched_for(
    versions: list[ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody writes to a row between the check of its old signature and the new one."""
    sign = signatures.sign

    def slow(*args: Any, **options: Any) -> signatures.Signature:
        ModelVersion.objects.filter(pk=versions[0].pk).update(artifact_signature="f" * 64, artifact_digest="0" * 64)
        return sign(*args, **options)

    monkeypatch.setattr(signatures, "sign", slow)
    assert rotate().resigned == 2
    assert ModelVersion.objects.get(pk=versions[0].pk).artifact_key_id == "old"


def test_versions_of_an_unknown_key_are_counted_and_left(versions: list[ModelVersion], settings: Settings) -> None:
    set_keys(settings, "new:new-secret")
    assert rotate().resigned == 0
    assert uses() == {"new": (0, True, True), "old": (3, False, False)}


def test_the_command_says_what_it_did_and_which_key_may_go(versions: list[ModelVersion]) -> None:
    status, text = run()
    assert status == 0 and "still needed" in text and "Nothing was changed." in text
    assert uses()["old"][0] == 3
    status, text = run("--apply")
    assert status == 0
    assert "Signed anew with the key new: 3 versions." in text
    assert "may go" in text
    status, text = run("--apply", "--json")
    assert status == 3
    told = json.loads(text)
    assert told["rotated"] == {"key_id": "new", "resigned": 0, "refused": 0, "unproven": [], "listed": []}
    assert [(key["key_id"], key["versions"], key["state"]) for key in told["keys"]] == [
        ("new", 3, "signs"),
        ("old", 0, "may go"),
    ]


def test_the_command_ends_with_one_where_something_was_refused(
    versions: list[ModelVersion], settings: Settings
) -> None:
    ModelVersion.objects.filter(pk=versions[2].pk).update(artifact_format="another-1")
    status, text = run("--apply")
    assert status == 1
    assert f"({versions[2].pk}), its old signature does not hold" in " ".join(text.split())
    set_keys(settings, "third:x, new:wrong")
    status, text = run("--apply")
    assert status == 1
    assert "None of the versions that carry the key new verifies, so none was changed." in text
    assert "not set here" in text


def test_a_batch_is_signed_under_the_locks_of_its_models(
    versions: list[ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the statement and a change of state of the same versions may each hold a row that the other waits for."""
    lock, seen = history.lock, []

    def watched(ids: Any) -> Any:
        locked = lock(ids)
        seen.append((set(locked), set(ModelVersion.objects.values_list("artifact_key_id", flat=True))))
        return locked

    monkeypatch.setattr(history, "lock", watched)
    rotate()
    assert seen == [({versions[0].registered_model_id}, {"old"})]
