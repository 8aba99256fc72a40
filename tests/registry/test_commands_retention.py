"""`prune`, `orphans` and `bring_back`: what they print, what they change, and how each mistake ends."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from registry import timestamps
from registry.models import ModelVersion, RegisteredModel
from tests.factories import NOW
from tests.registry import kept

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R16")]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    now = [NOW]
    monkeypatch.setattr(timestamps, "utc_now", lambda: now[0])
    return now


@pytest.fixture
def model() -> RegisteredModel:
    return kept.model(versions=3, owner=kept.fleet(name="bakery"))[0]


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


def states() -> list[str]:
    return list(ModelVersion.objects.order_by("number").values_list("state", flat=True))


def test_a_preview_is_what_happens_when_nothing_else_is_said(model: RegisteredModel) -> None:
    status, said = run("prune", "bakery")
    assert status == 0
    assert "kept: newest" in said
    assert "Nothing was changed" in said
    assert states() == ["ready"] * 3


def test_applying_marks_and_names_what_was_marked(model: RegisteredModel) -> None:
    status, said = run("prune", "bakery", "--apply", "--reason", "Disk is full.")
    assert status == 0
    assert "Marked 2 versions" in said
    assert "In grace: 2 versions" in said
    assert states() == ["archived", "archived", "ready"]


def test_what_is_not_shown_and_what_no_policy_looks_at_is_told() -> None:
    model, versions = kept.model(versions=24, owner=kept.fleet(name="bakery"))
    ModelVersion.objects.filter(pk=versions[0].pk).update(state="quarantined")
    _, said = run("prune", "bakery", "--entity", model.entity_key, "--apply", "--reason", "Disk is full.")
    assert "20 of 22 are shown; with --json all are named." in said
    assert "1 quarantined version, which no policy lets go: release or forget by hand." in said


def test_one_model_alone(model: RegisteredModel) -> None:
    kept.model(owner=model.fleet)
    status, said = run("prune", "bakery", "--entity", model.entity_key, "--apply", "--reason", "x", "--json")
    told = json.loads(said)
    assert (status, len(told["marked"]), told["preview"]["marked"]["versions"]) == (0, 2, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bakery", "--apply"), "--reason"),
        (("bakry",), "Did you mean bakery?"),
        (("bakery", "--entity", "nobody"), "has no entity 'nobody'. Did you mean"),
    ],
)
def test_a_mistake_is_refused_with_the_way_out(arguments: tuple[str, ...], said: str, model: RegisteredModel) -> None:
    status, text = run("prune", *arguments)
    assert status == 2
    assert said in text
    assert states() == ["ready"] * 3


def test_sweeping_now_deletes_what_is_due_and_nothing_in_grace(
    model: RegisteredModel, clock: list[Any], artifact_folder: Path
) -> None:
    kept.age(artifact_folder)
    run("prune", "bakery", "--apply", "--reason", "x")
    assert "Swept 0 versions" in run("prune", "bakery", "--sweep-now")[1]
    clock[0] = NOW + timedelta(days=7)
    assert "The next sweep deletes 2 versions" in run("prune", "bakery")[1]
    assert "Swept 2 versions: 2 files" in run("prune", "bakery", "--sweep-now")[1]
    assert states() == ["deleted", "deleted", "ready"]


def test_orphans_are_listed_and_deleted_only_when_asked(
    model: RegisteredModel, clock: list[Any], artifact_folder: Path
) -> None:
    stray = kept.path(artifact_folder, "ab" + "0" * 62)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"nobody's")
    kept.age(artifact_folder)
    clock[0] = kept.SWEPT
    status, said = run("orphans")
    assert (status, "1 that no version needs (8 bytes)" in said, stray.exists()) == (0, True, True)
    assert json.loads(run("orphans", "--json")[1])["files"][0]["key"] == f"artifacts/ab/{stray.name}"
    assert "Deleted 1 file, 8 bytes" in run("orphans", "--delete")[1]
    assert not stray.exists()


def test_versions_without_a_file_end_with_1_until_they_are_quarantined(
    model: RegisteredModel, artifact_folder: Path
) -> None:
    first = model.versions.get(number=1)
    kept.path(artifact_folder, first.artifact_digest).unlink()
    status, said = run("orphans")
    assert (status, str(first) in said) == (1, True)
    assert run("orphans", "--quarantine")[0] == 0
    assert states() == ["quarantined", "ready", "ready"]


@pytest.mark.requirement("R18")
def test_a_deleted_version_comes_back_ready_and_held(
    model: RegisteredModel, clock: list[Any], artifact_folder: Path, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "backup_url": (tmp_path / "second").as_uri()}
    kept.age(artifact_folder)
    run("prune", "bakery", "--apply", "--reason", "x")
    clock[0] = kept.SWEPT
    run("prune", "bakery", "--sweep-now")
    first, last = model.versions.get(number=1), model.versions.get(number=3)
    status, said = run("bring_back", str(first.pk), str(last.pk), "--reason", "The auditor asks.")
    assert status == 1
    assert f"{first.pk} is ready again, and held." in said
    assert f"{last.pk}: " in said
    assert states() == ["ready", "deleted", "ready"]
    assert first.holds.get().reason == "The auditor asks."


def test_without_a_backup_store_nothing_comes_back(model: RegisteredModel) -> None:
    status, said = run("bring_back", str(model.versions.get(number=1).pk), "--reason", "x")
    assert (status, "PERENNIAL_REGISTRY_BACKUP_URL" in said) == (2, True)
