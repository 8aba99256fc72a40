"""The ledger leaves as CSV that no spreadsheet runs, and as JSON lines that an outsider can verify."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from registry import history, lifecycle, sheets
from registry.history import ledger_export
from registry.history.ledger_export import Wanted
from registry.models import Event, Fleet, RegisteredModel
from registry.reports import Check
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db
HOSTILE = (
    "=HYPERLINK(\"http://x\",\"y\")", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "''",
    "\uff1d1", "plain, with \"quotes\"\r\nand; lines", "ä 🍞", " =1",
)  # fmt: skip


def outsider(lines: Iterable[str]) -> int:
    """Verify an exported file as somebody would who has nothing of this product."""
    ends: dict[int, str] = {}
    verified = 0
    for text in lines:
        found = json.loads(text)
        line = found["line"]
        if line["registered_model"] is None:
            continue
        written = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        expected = hashlib.sha256((found["previous_hash"] + written).encode()).hexdigest()
        if found["hash"] != expected or found["previous_hash"] != ends.get(line["registered_model"], ""):
            raise ValueError(f"line {line['count']} of {found['entity']} does not hold")
        ends[line["registered_model"]] = found["hash"]
        verified += 1
    return verified


@pytest.fixture
def fleet() -> Fleet:
    fleet = factories.fleet(name="bakery")
    for entity in ("bread", "cake"):
        model = factories.registered_model(fleet=fleet, entity_key=entity)
        for day in range(3):
            factories.champion(registered_model=model, at=NOW + timedelta(days=day))
        lifecycle.roll_back(registered_model=model, actor="ada", reason="=cmd()", at=NOW + timedelta(days=4))
    values = [-0.0, 1, 1e22, 1e-320, 0.1 + 0.2, None, -1.7976931348623157e308]
    checks = tuple(Check(rule="r", outcome="o", sentence="ä\n\\ 🍞", value=value) for value in values)
    report = factories.gate_report(checks=checks)
    line: dict[str, Any] = {"actor": "a", "cause": "c", "at": NOW, "registered_model_id": model.pk}
    history.announce([history.Line(kind="test.thing.done", reason="„so“", report=report, **line)])
    history.announce([history.Line(kind="x.y.z", actor="a", cause="c", at=NOW, fleet_id=fleet.pk)])
    factories.champion(registered_model=factories.registered_model())
    return fleet


def rows(wanted: Wanted) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(ledger_export.as_csv(wanted)), newline="")))


@pytest.mark.requirement("R14")
def test_an_outsider_verifies_the_exported_chains(fleet: Fleet) -> None:
    text = "".join(ledger_export.as_json_lines(Wanted(fleet=fleet)))
    lines = text.splitlines()
    assert outsider(lines) == 2 * 7 + 1
    assert len(lines) == Event.objects.filter(fleet=fleet).count() == 16
    for changed in (text.replace("=cmd()", "=cmd(1)", 1), "\n".join(lines[:3] + lines[4:])):
        with pytest.raises(ValueError, match="does not hold"):
            outsider(changed.splitlines())


def test_the_line_stands_in_the_file_exactly_as_it_was_hashed(fleet: Fleet) -> None:
    for text in "".join(ledger_export.as_json_lines(Wanted(fleet=fleet))).splitlines():
        found = json.loads(text)
        raw = text.partition('"line":')[2].rpartition(',"previous_hash":')[0]
        if found["hash"]:
            assert hashlib.sha256((found["previous_hash"] + raw).encode()).hexdigest() == found["hash"]


@pytest.mark.parametrize("reason", HOSTILE)
def test_a_hostile_text_cannot_begin_a_formula_and_comes_back_whole(reason: str) -> None:
    model = factories.registered_model()
    line: dict[str, Any] = {"cause": "c", "at": NOW, "registered_model_id": model.pk}
    history.announce([history.Line(kind="test.thing.done", actor=reason, reason=reason, **line)])
    [found] = rows(Wanted(fleet=model.fleet, registered_model=model))
    assert not found["reason"].startswith(sheets.DANGEROUS[:-1])
    assert [found[name].removeprefix("'") for name in ("reason", "actor")] == [reason, reason]
    assert (found["count"], found["fence"]) == ("1", "0")


def test_numbers_stay_numbers_and_texts_are_quoted() -> None:
    assert sheets.lines([["a", -1.5, 3, None, True, "-1.5"]]) == '"a",-1.5,3,"","true","\'-1.5"\r\n'


def test_the_time_limits_what_is_exported(fleet: Fleet) -> None:
    wanted = Wanted(fleet=fleet, since=NOW + timedelta(days=1), until=NOW + timedelta(days=4))
    assert {row["kind"] for row in rows(wanted)} == {"registry.version.registered", history.PROMOTED}
    assert len(rows(wanted)) == 2 * 4
    assert len(rows(Wanted(fleet=fleet, since=NOW + timedelta(days=4)))) == 2 + 1


def test_a_model_is_exported_alone_and_in_batches(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    cake = RegisteredModel.objects.get(entity_key="cake")
    whole = list(ledger_export.as_json_lines(Wanted(fleet=fleet, registered_model=cake)))
    monkeypatch.setattr(ledger_export, "BATCH_ROWS", 3)
    monkeypatch.setattr(ledger_export, "MODELS_AT_ONCE", 1)
    pieces = list(ledger_export.as_json_lines(Wanted(fleet=fleet, registered_model=cake)))
    assert (len(pieces), "".join(pieces)) == (3, "".join(whole))
    assert [json.loads(text)["line"]["count"] for text in "".join(pieces).splitlines()] == list(range(1, 9))
    assert outsider("".join(ledger_export.as_json_lines(Wanted(fleet=fleet))).splitlines()) == 15
