"""The commands of ledger and export: what they say, and how they end."""

from __future__ import annotations

import csv
import dataclasses
import io
import weakref
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from registry import export as export_flow
from registry import history, lifecycle
from registry.history import chains
from registry.lifecycle import placing
from registry.management.commands import export as export_command
from registry.models import Export, ExportSettings, Fleet, RegisteredModel
from tests import factories
from tests.config.commands import run
from tests.factories import NOW
from tests.registry import exporting
from tests.registry.test_history import tamper
from tests.registry.test_ledger_export import outsider

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet() -> Fleet:
    """Models bread and cake, each with two champions one after the other, and bread with a challenger."""
    fleet = factories.fleet(name="bakery")
    for entity in ("bread", "cake"):
        model = factories.registered_model(fleet=fleet, entity_key=entity)
        for day in range(2):
            factories.champion(registered_model=model, at=NOW + timedelta(days=day))
    bread = RegisteredModel.objects.get(entity_key="bread")
    waiting = factories.version(registered_model=bread, at=NOW + timedelta(days=2))
    move = lifecycle.Move(registered_model_id=bread.pk, version_id=waiting.pk, expected_id=None)
    lifecycle.nominate([move], actor="retraining", cause="held", at=NOW + timedelta(days=2))
    return fleet


def test_a_sound_ledger_is_told_and_ends_well(fleet: Fleet) -> None:
    said = run("verify_history")
    assert (said.status, "10 lines of 2 models" in said.text) == (0, True), said
    assert run("verify_history", "bakery", "cake", "--json").json == {
        "models": 1, "lines": 4, "holds": True, "broken": 0, "breaks": [],
    }  # fmt: skip


def test_nothing_to_verify_is_neither_good_nor_bad() -> None:
    assert run("verify_history").status == 3


MODEL = "(SELECT id FROM registry_registeredmodel WHERE entity_key = 'bread')"
OF_MODEL = f"WHERE registered_model_id = {MODEL}"
OTHER = f"(SELECT id FROM registry_modelversion {OF_MODEL} AND number = 1)"


@pytest.mark.requirement("R14")
@pytest.mark.parametrize(
    ("statement", "line", "words"),
    [
        (f"UPDATE registry_event SET reason = 'other' {OF_MODEL} AND count = 3", 3, "not what was written"),
        (f"UPDATE registry_event SET actor = 'other' {OF_MODEL} AND count = 1", 1, "not what was written"),
        (f"DELETE FROM registry_event {OF_MODEL} AND count = 2", 2, "is missing"),
        (f"DELETE FROM registry_event {OF_MODEL} AND count = 6", 5, "its model counts 6"),
        (f"INSERT INTO registry_event (registered_model_id, kind, actor, cause, reason, fence, at, count,"
         f" previous_hash, hash) VALUES ({MODEL}, 'k', 'a', 'c', '', 0, now(), 7, '', '')", 7, "not after"),
        (f"UPDATE registry_registeredmodel SET champion_id = {OTHER} WHERE id = {MODEL}", 6, "The champion is"),
        (f"UPDATE registry_registeredmodel SET challenger_id = NULL WHERE id = {MODEL}", 6, "The challenger is None"),
        (f"UPDATE registry_modelversion SET promoted_at = now() WHERE id = {OTHER}", 4, "became champion"),
        (f"UPDATE registry_modelversion SET served_until = NULL WHERE id = {OTHER}", 4, "ceased to serve"),
    ],
)  # fmt: skip
def test_each_break_is_named_with_model_line_and_what(fleet: Fleet, statement: str, line: int, words: str) -> None:
    tamper(statement)
    said = run("verify_history", "bakery", "--json")
    assert said.status == 1
    assert (line, True) in [(found["line"], words in found["detail"]) for found in said.json["breaks"]], said.json
    assert {found["entity"] for found in said.json["breaks"]} == {"bread"}
    told = run("verify_history")
    assert told.status == 1 and f"bakery/bread line {line}: " in told.text
    assert run("verify_history", "bakery", "cake").status == 0


def test_every_chain_is_walked_in_batches_of_any_size(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "BATCH_MODELS", 1)
    monkeypatch.setattr(chains, "BATCH_ROWS", 2)
    walked = list(chains.walk())
    assert [(each.models, each.lines, each.breaks) for each in walked] == [(1, 6, ()), (1, 4, ())]


def test_the_history_is_shown_and_written(fleet: Fleet, tmp_path: Path) -> None:
    shown = run("history", "bakery", "bread", "--limit", 2)
    assert shown.status == 0 and "challenger.nominated" in shown.text and "champion.promoted" not in shown.text
    rows = list(csv.DictReader(io.StringIO(run("history", "bakery", "--csv").text, newline="")))
    assert len(rows) == 10 and {row["entity"] for row in rows} == {"bread", "cake"}
    file = tmp_path / "h.jsonl"
    assert run("history", "bakery", "--jsonl", "--output", file).status == 0
    assert outsider(file.read_text(encoding="utf-8").splitlines()) == 10
    assert run("history", "bakery", "--until", "2020-01-01T00:00:00Z").status == 3
    assert run("history", "bakery", "--csv", "--output", tmp_path).status == 1
    assert "Did you mean bread?" in run("history", "bakery", "brad").text


def test_who_served_when_is_shown(fleet: Fleet) -> None:
    served = run("history", "bakery", "bread", "--champions")
    assert served.text.count("\nbread ") == 2 and "now" in served.text
    then = run("history", "bakery", "--champions", "--at", "2026-03-01T18:00:00Z")
    assert then.text.count("2026-03-01 12:00:00Z") == 2
    assert run("history", "bakery", "--champions", "--at", "2020-01-01T00:00:00Z").status == 3


@pytest.fixture
def root(settings: Settings, tmp_path: Path) -> Path:
    folder = tmp_path / "exports"
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "export_dir": str(folder)}
    return folder


@pytest.mark.requirement("R04", "C08")
def test_export_writes_where_it_is_told_and_names_what_failed(root: Path, tmp_path: Path) -> None:
    assert run("export").status == 3
    fleet = exporting.fleet()
    made = exporting.promoted(factories.registered_model(fleet=fleet, entity_key="bread"))
    said = run("export", "bakery", "--json")
    assert (said.status, said.json["root"]) == (0, str(root))
    assert [each["version"] for each in said.json["exported"]] == [made.label]
    exporting.read(root / "acme/bakery/bread")
    elsewhere = tmp_path / "elsewhere"
    assert f"Below {elsewhere}: 1 exported, 0 failed." in run("export", "bakery", "--to", elsewhere).text
    exporting.read(elsewhere / "acme/bakery/bread")
    factories.champion(registered_model=factories.registered_model(fleet=fleet, entity_key="cake"))
    half = run("export", "bakery")
    assert half.status == 1 and "bakery/cake: bundle_invalid:" in half.text
    assert Export.objects.get(registered_model__entity_key="cake").failures == 1
    assert run("export", "--entity", "bread").status == 2
    assert run("export", "--to", "").status == 2


def test_an_export_folder_that_cannot_be_is_told_once(root: Path, tmp_path: Path) -> None:
    fleet = exporting.fleet()
    for entity in ("bread", "cake"):
        exporting.promoted(factories.registered_model(fleet=fleet, entity_key=entity))
    (tmp_path / "file").write_text("a file")
    for folder, why in ((tmp_path / "file", "It is a file."), (tmp_path / "file" / "below", "Not a directory.")):
        said = run("export", "--to", folder)
        assert (said.status, said.text.count(why)) == (1, 1)
        assert said.text.startswith(f"The export folder {folder} cannot be written: {why}")


def test_an_export_says_what_is_not_the_champion_and_what_will_not_follow(root: Path) -> None:
    fleet = exporting.fleet()
    exporting.version(factories.registered_model(fleet=fleet, entity_key="bread"))
    Fleet.objects.update(export=ExportSettings(enabled=False))
    text = run("export").text
    assert "bakery/bread: No version has been promoted yet." in text
    assert "Not kept current, for want of `enabled = true` below [fleet.export]: acme/bakery." in text
    Fleet.objects.update(export=ExportSettings(enabled=True))
    assert "Not kept current" not in run("export").text


def test_of_any_number_of_models_an_export_keeps_what_it_shows(root: Path) -> None:
    model = factories.registered_model(fleet=exporting.fleet())
    exporting.version(model)
    done = export_flow.export(model.pk, export_flow.Job(root=root, at=NOW))
    told, in_json = export_command.Seen(keeps_all=False), export_command.Seen(keeps_all=True)
    kept = []
    for _ in range(300):
        each = dataclasses.replace(done)
        kept.append(weakref.ref(each))
        for seen in (told, in_json):
            seen.exported(each)
            seen.failed_at(model, history.ModelMissing("It is gone."))
    del each
    assert not any(ref() for ref in kept)
    assert (told.done, told.failed, len(in_json.plain), len(in_json.failures)) == (300, 300, 300, 300)
    assert {len(told.rows), len(told.notes), len(told.failures)} == {export_command.LISTED} and not told.plain


def test_the_page_of_a_fleet_tells_what_could_not_be_exported(roles: None, root: Path) -> None:
    from tests import admin_pages

    fleet = exporting.fleet()
    http = admin_pages.client(role="viewer")
    exporting.promoted(factories.registered_model(fleet=fleet, entity_key="bread"))
    factories.champion(registered_model=factories.registered_model(fleet=fleet, entity_key="cake"))
    assert run("export", "bakery").status == 1
    page = http.get(admin_pages.page(fleet)).content.decode()
    assert "Models written" in page and str(root / "acme" / "bakery") in page
    assert "1 failed" in page and "bundle_invalid" in page and "bakery/cake" in page
    assert "Models written" not in http.get(admin_pages.page(factories.fleet())).content.decode()


def test_the_ledger_keeps_its_kinds() -> None:
    assert (history.PROMOTED, chains.NOMINATED) == ("registry.champion.promoted", placing.NOMINATED)
    assert placing.REJECTED in chains.ENDS_CHALLENGE


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--limit", "0"], "--limit 0: allowed is 1 or more."),
        (["--limit", "-3"], "--limit -3: allowed is 1 or more."),
        (["--at", "2026-03-01"], "--at goes with --champions of a whole fleet."),
        (["--since", "soon"], "--since: 'soon' is not an ISO 8601 time."),
    ],
)
def test_a_mistake_in_the_options_of_history_is_named(options: list[str], told: str) -> None:
    factories.fleet(name="mistaken")
    said = run("history", "mistaken", *options)
    assert (said.status, told in said.text) == (2, True), said
