"""The commands that register versions and act on them: what they say, what they refuse, and their statuses."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError
from psycopg.errors import LockNotAvailable
from pytest_django import Settings

from registry import bulk, identifiers, lifecycle, terminal, timestamps
from registry.bulk import targets
from registry.exchange import seals
from registry.models import Event, ModelVersion, RegisteredModel
from tests import factories
from tests.config.commands import Said, run
from tests.deliveries import NAIVE, forecaster, packed
from tests.factories import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def model() -> RegisteredModel:
    """A model with an earlier and a present champion, and a third version."""
    found = factories.registered_model(fleet=factories.fleet(name="bakery"), entity_key="bread")
    factories.champion(registered_model=found, at=NOW)
    factories.champion(registered_model=found, at=NOW + timedelta(days=1))
    factories.version(registered_model=found, at=NOW + timedelta(days=1))
    return found


def version(model: RegisteredModel, number: int) -> ModelVersion:
    return ModelVersion.objects.get(registered_model=model, number=number)


def register(*args: object) -> Said:
    return run("register", "bakery", *args)


@pytest.mark.requirement("R01")
def test_a_bundle_is_registered_from_a_file(model: RegisteredModel, tmp_path: Path) -> None:
    file, wanted = tmp_path / "bread.bundle", identifiers.uuid7()
    file.write_bytes(packed())
    said = register("bread", "--bundle", file, "--id", wanted, "--note", "From the lab.", "--tag", "pilot")
    assert said.status == 0, said.text
    assert f"bakery/bread v4 ({version(model, 4).label}), id {wanted}" in " ".join(said.text.split())
    assert "pending" in said.text
    assert (version(model, 4).note, version(model, 4).tags) == ("From the lab.", ["pilot"])
    again = register("bread", "--bundle", file, "--id", wanted)
    assert (again.status, "every id is given once" in again.text) == (1, True)


@pytest.mark.requirement("R01")
def test_a_forecaster_is_registered_with_its_metadata(model: RegisteredModel, tmp_path: Path) -> None:
    file, metadata = tmp_path / "naive.json", tmp_path / "metadata.json"
    file.write_bytes(forecaster())
    metadata.write_text(json.dumps({"metrics": {"mae": 2.0}, "format": "prophet-json-1"}))
    said = register("cake", "--forecaster", file, "--format", NAIVE, "--metadata", metadata, "--create", "--json")
    assert said.status == 0, said.text
    assert (said.json["model"], said.json["number"], said.json["state"]) == ("bakery/cake", 1, "pending")
    assert ModelVersion.objects.get(pk=said.json["id"]).scorecard.metrics == {"mae": 2.0}


@pytest.mark.requirement("R01")
def test_what_cannot_be_registered_is_a_usage_error_with_a_next_step(model: RegisteredModel, tmp_path: Path) -> None:
    pickle, text, bundle = tmp_path / "model.pkl", tmp_path / "text.json", tmp_path / "x.bundle"
    pickle.write_bytes(b"\x80\x04K\x01.")
    text.write_text("[]")
    bundle.write_bytes(packed())
    for args, told in (
        (("bread", "--forecaster", pickle, "--format", "pickle"), "docs/registering.md"),
        (("bread", "--forecaster", pickle), "docs/registering.md"),
        (("bread", "--forecaster", pickle, "--format", NAIVE), "no JSON object"),
        (("bread", "--bundle", tmp_path / "none"), "cannot be read"),
        (("bread", "--bundle", bundle, "--metadata", text), "no JSON object"),
        (("bread", "--bundle", bundle, "--metadata", pickle), "not JSON"),
        (("bread", "--bundle", bundle, "--id", "7"), "version_id"),
        (("bred", "--bundle", bundle), "Did you mean bread"),
        (("../x", "--bundle", bundle, "--create"), "not an entity key"),
    ):
        said = register(*args)
        assert (said.status, told in said.text) == (2, True), (args, said)
    assert ModelVersion.objects.filter(registered_model=model).count() == 3


def test_a_sealed_bundle_is_imported_and_another_is_not(
    model: RegisteredModel, tmp_path: Path, settings: Settings
) -> None:
    file, content = tmp_path / "x.bundle", packed()
    file.write_bytes(content)
    [stored] = lifecycle.store_artifacts([content], format=NAIVE)
    origin = ModelVersion(
        id=identifiers.uuid7(), artifact_digest=stored.digest, artifact_format=NAIVE, registered_model=model
    )
    seal = str(seals.seal(origin))
    asked = ("import_bundle", "bakery", "bread", "--bundle", file, "--seal")
    refused = run(*asked, seal)
    assert (refused.status, "bundle_key" in refused.text) == (2, True)
    pair = run("bundle_key", "--name", "ulm").text.strip()
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "foreign_keys": pair}
    said = run(*asked, seal, "--signed-by", "ulm", "--json")
    assert (said.status, said.json["id"]) == (0, str(origin.pk))
    assert Event.objects.get(to_version=origin.pk).cause == "import"


@pytest.mark.requirement("R13")
def test_a_version_is_promoted_by_hand(model: RegisteredModel) -> None:
    assert run("promote", "bakery", "bread", "3", "--dry-run").status == 0
    model.refresh_from_db()
    assert model.champion == version(model, 2)
    said = run("promote", "bakery", "bread", version(model, 3).label, "--reason", "Better.")
    assert (said.status, "is champion" in said.text) == (0, True)
    again = run("promote", "bakery", "bread", "3", "--reason", "Better.", "--json")
    assert (again.status, again.json["results"][0]["outcome"]) == (3, "unchanged")
    missing = run("promote", "bakery", "bread", "9", "--reason", "Better.")
    assert (missing.status, "manage.py versions bakery bread" in missing.text) == (2, True)
    assert run("promote", "bakery", "bread", "1", "--reason", " ").status == 2
    unsaid = run("promote", "bakery", "bread", "1")
    assert (unsaid.status, "No reason was given. Say in a sentence why." in unsaid.text) == (2, True)


def test_versions_are_archived_restored_quarantined_and_released(model: RegisteredModel) -> None:
    for command, state in (
        ("archive", "archived"), ("restore", "ready"), ("quarantine", "quarantined"), ("release", "ready"),
    ):  # fmt: skip
        said = run(command, "bakery", "bread", "3", "--reason", "Odd numbers.")
        assert (said.status, version(model, 3).state) == (0, state), said
    factories.version(registered_model=model)
    some = run("archive", "bakery", "bread", "4", "3", "champion", "--reason", "Tidy.", "--json")
    assert some.status == 1
    told = [each.get("code", each["outcome"]) for each in some.json["results"]]
    assert told == ["changed", "version_held", "version_in_use"]


def test_versions_are_forgotten_by_hand(model: RegisteredModel) -> None:
    said = run("forget", "bakery", "bread", "3", "--reason", "Disk.")
    assert (said.status, version(model, 3).state) == (1, "ready")
    run("archive", "bakery", "bread", "3", "--reason", "Disk.")
    shown = run("forget", "bakery", "bread", "3", "--dry-run")
    assert (shown.status, version(model, 3).state) == (0, "archived")
    said = run("forget", "bakery", "bread", "3", "champion", "--reason", "Disk.")
    assert (said.status, version(model, 3).state, version(model, 2).state) == (1, "deleted", "ready")
    assert "v3" in said.text and "is deleted; the next hourly sweep removes its file" in " ".join(said.text.split())


def test_the_ledger_names_the_person_behind_a_command(model: RegisteredModel, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUDO_USER", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    assert terminal.actor() == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setenv("USER", "root")
    monkeypatch.setenv("SUDO_USER", "ada")
    run("archive", "bakery", "bread", "3", "--reason", "Tidy.")
    assert Event.objects.latest("id").actor == "ada"


def test_tags_of_versions_and_of_the_model(model: RegisteredModel) -> None:
    assert run("tag", "bakery", "bread", "1", "2", "--add", "pilot").status == 0
    assert version(model, 1).tags == ["pilot"]
    assert run("tag", "bakery", "bread", "1", "--add", "pilot").status == 3
    said = run("tag", "bakery", "bread", "--add", "north", "--add", "east")
    assert (said.status, said.text.strip()) == (0, "bakery/bread has the tags east, north.")
    assert run("tag", "bakery", "bread", "--remove", "none").status == 3
    assert run("tag", "bakery", "bread").status == 2
    shown = run("tag", "bakery", "bread", "--add", "south", "--dry-run", "--json")
    assert shown.json["results"] == [{"entity": "bread", "outcome": "changed", "tags": ["east", "north", "south"]}]
    model.refresh_from_db()
    assert model.tags == ["east", "north"]
    both = run("tag", "bakery", "bread", "--add", "x", "--remove", "x")
    assert (both.status, "to be added and removed" in both.text) == (2, True)
    assert run("tag", "bakery", "bread", "--add", "a,b").status == 2


@pytest.mark.requirement("R14")
def test_one_model_is_rolled_back_at_once(model: RegisteredModel) -> None:
    said = run("rollback", "bakery", "bread", "--reason", "Doubled.")
    assert (said.status, "back on v1, from v2" in said.text) == (0, True)
    assert run("rollback", "bakery", "bread", "--reason", "Doubled.").status == 1
    assert run("rollback", "bakery", "bread", "--to", "3", "--reason", "Try.", "--json").json["to"]["number"] == 3
    assert run("rollback", "bakery", "bread", "--to", "1").status == 2


@pytest.mark.requirement("R14")
def test_many_are_rolled_back_after_a_preview(model: RegisteredModel) -> None:
    young = factories.registered_model(fleet=model.fleet, entity_key="young")
    factories.champion(registered_model=young)
    shown = run("rollback", "bakery", "--all")
    assert shown.status == 1
    assert "1 would go back, 1 cannot. Add --apply and --reason to do it." in shown.text
    assert "no earlier champion" in shown.text
    assert not Event.objects.filter(kind="registry.champion.rolled_back").exists()
    assert run("rollback", "bakery", "--entity", "bread", "--apply").status == 2
    done = run("rollback", "bakery", "--entity", "bread", "--apply", "--reason", "Doubled.", "--json")
    [step] = done.json["results"]
    assert (done.status, step["entity"], step["before"]["number"], step["to"]["number"]) == (0, "bread", 2, 1)
    assert run("rollback", "bakery", "--entity-prefix", "zz").status == 3
    missing = run("rollback", "bakery", "--entity", "bread", "--entity", "bred")
    assert (missing.status, "no model for entity 'bred'" in missing.text) == (2, True)
    odd = run("rollback", "bakery", "--cause", "gat")
    assert (odd.status, "'gat'. Known are gate, floor, manual, rollback." in odd.text) == (2, True)
    both = run("rollback", "bakery", "--entity-prefix", "b", "--all")
    assert (both.status, "Say `all` alone" in both.text) == (2, True)
    nothing = run("rollback", "bakery")
    assert (nothing.status, "--" in nothing.text) == (2, True)
    assert run("rollback", "bakery", "bread", "--all", "--reason", "x").status == 2
    assert run("rollback", "bakery", "--all", "--to", "1").status == 2


def test_a_preview_says_where_the_target_came_within_the_time_to_undo(model: RegisteredModel) -> None:
    since = timestamps.utc_now()
    for _ in range(2):
        factories.champion(registered_model=model, at=timestamps.utc_now())
    shown = " ".join(run("rollback", "bakery", "--promoted-since", since.isoformat()).text.split())
    assert "since then too: --again goes further" in shown
    assert "since then too" not in run("rollback", "bakery", "--all").text
    one = run("rollback", "bakery", "bread", "--dry-run")
    assert (one.status, "nothing was moved" in one.text) == (0, True)
    assert run("rollback", "bakery", "bread", "--dry-run", "--apply").status == 2
    assert run("rollback", "bakery", "bread", "--dry-run", "--to", "1").status == 2


def test_a_roll_back_of_many_that_breaks_off_says_what_has_moved(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = factories.registered_model(fleet=model.fleet, entity_key="rolls")
    for day in (1, 2):
        factories.champion(registered_model=other, at=NOW + timedelta(days=day))
    monkeypatch.setattr(targets, "MODELS_AT_ONCE", 1)
    carried_out = bulk.roll_back

    def contended(models: Sequence[RegisteredModel], **words: Any) -> list[bulk.Step]:
        if other in models:
            raise OperationalError("canceling statement due to lock timeout") from LockNotAvailable()
        return carried_out(models, **words)

    with monkeypatch.context() as patched:
        patched.setattr(bulk, "roll_back", contended)
        broken = run("rollback", "bakery", "--all", "--apply", "--reason", "Doubled.")
    assert broken.status == 1
    assert "1 went back, 0 cannot." in broken.text
    assert "Another change of the same thing is under way. Try again in a few seconds." in broken.text
    again = run("rollback", "bakery", "--all", "--apply", "--reason", "Doubled.", "--json")
    outcomes = {each["entity"]: (each["outcome"], each.get("code")) for each in again.json["results"]}
    assert outcomes == {"bread": ("refused", "rolled_back_already"), "rolls": ("rolled_back", None)}
    assert {**again.json, "results": []} == {"dry_run": False, "results": [], "rolled_back": 1, "refused": 1}


@pytest.mark.requirement("R14")
@pytest.mark.parametrize("as_json", [False, True])
def test_a_roll_back_of_many_tells_each_part_as_it_is_done(
    as_json: bool, model: RegisteredModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = factories.registered_model(fleet=model.fleet, entity_key="rolls")
    for day in (1, 2):
        factories.champion(registered_model=other, at=NOW + timedelta(days=day))
    monkeypatch.setattr(targets, "MODELS_AT_ONCE", 1)
    carried_out, heard = bulk.roll_back, []

    def listened(models: Sequence[RegisteredModel], **words: Any) -> list[bulk.Step]:
        heard.append(capsys.readouterr().out)
        return carried_out(models, **words)

    monkeypatch.setattr(bulk, "roll_back", listened)
    call_command("rollback", "bakery", "--all", *(["--json"] if as_json else []))
    heard.append(capsys.readouterr().out)
    assert [("bread" in each, "rolls" in each) for each in heard] == [(False, False), (True, False), (False, True)]
    if as_json:
        assert [each["entity"] for each in json.loads("".join(heard))["results"]] == ["bread", "rolls"]


def test_a_roll_back_of_nobody_is_sound_json(model: RegisteredModel) -> None:
    nobody = run("rollback", "bakery", "--entity-prefix", "zz", "--json")
    assert nobody.json == {"dry_run": True, "results": [], "rolled_back": 0, "refused": 0}
