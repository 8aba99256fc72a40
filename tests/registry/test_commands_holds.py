"""Holds on the command line: placed, listed with who placed each, lifted; what a test holds by its number alone."""

from __future__ import annotations

import pytest

from registry import holding
from registry.models import Event, Hold, ModelVersion
from tests import factories
from tests.config.commands import Said, run
from tests.factories import NOW
from tests.registry import kept

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R16")]


@pytest.fixture(autouse=True)
def versions(monkeypatch: pytest.MonkeyPatch) -> list[ModelVersion]:
    """The model `rye` with three versions, and ada at the keyboard."""
    monkeypatch.setenv("USER", "ada")
    owner = kept.fleet(name="bakery")
    made = factories.registered_model(fleet=owner, entity_key="rye")
    return [factories.version(registered_model=made) for _ in range(3)]


def plain(said: Said) -> str:
    return " ".join(said.text.split())


def test_versions_are_held_listed_and_let_go() -> None:
    said = run("hold", "bakery", "rye", 1, 2, "--reason", "Audit until May.", "--until", "2999-05-01")
    assert (said.status, "bakery/rye v1" in plain(said), plain(said).count("is held.")) == (0, True, 2)
    assert {(each.placed_by, each.until.isoformat() if each.until else "") for each in Hold.objects.all()} == {
        ("user", "2999-05-01T00:00:00+00:00")
    }
    listed = run("holds", "bakery", "rye", "--json").json["holds"]
    assert [(each["number"], each["actor"], each["reason"]) for each in listed] == [
        (2, "ada", "Audit until May."), (1, "ada", "Audit until May."),
    ]  # fmt: skip
    table = plain(run("holds", "bakery"))
    assert "rye v1 ada" in table and "2999-05-01 00:00 UTC Audit until May." in table and "2 holds" in table
    assert "newest 1 hold; there are more" in plain(run("holds", "bakery", "--limit", 1))
    [archived] = run("archive", "bakery", "rye", 1, "--reason", "x", "--json").json["results"]
    assert archived["detail"] == "bakery/rye v1 is held by ada: Audit until May."
    gone = run("unhold", "bakery", "rye", 1, 2, "--reason", "Audit is over.", "--json")
    assert (gone.status, gone.json["action"], gone.json["changed"]) == (0, "unhold", 2)
    assert not Hold.objects.exists()
    assert run("holds", "bakery").status == 3
    assert Event.objects.latest("id").reason == "Audit is over."


def test_a_rehearsal_needs_no_reason_and_changes_nothing() -> None:
    before = Event.objects.count()
    assert "would be held" in plain(run("hold", "bakery", "rye", 1, "--dry-run"))
    run("hold", "bakery", "rye", 1, "--reason", "Audit.")
    assert "would be no longer held" in plain(run("unhold", "bakery", "rye", 1, "--dry-run"))
    assert (Hold.objects.count(), Event.objects.count()) == (1, before + 1)


def test_what_a_test_holds_is_lifted_by_its_number_alone(versions: list[ModelVersion]) -> None:
    [hold] = holding.place(
        [versions[0].pk], placed_by="ab-test", reason="Shadow test.", until=None, actor="planner", at=NOW
    ).holds
    assert "ab-test (planner)" in plain(run("holds", "bakery"))
    assert run("unhold", "bakery", "rye", 1, "--reason", "x").status == 3
    assert run("unhold", "bakery", "rye", 2, "--id", hold.pk, "--reason", "x").status == 2
    assert Hold.objects.count() == 1
    assert run("unhold", "bakery", "rye", 1, "--id", hold.pk, "--reason", "The test is over.").status == 0
    assert not Hold.objects.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--reason", " "], "Say in a sentence why."),
        ([], "Say in a sentence why."),
        (["--reason", "x", "--until", "2020-01-01"], "would have ended at 2020-01-01 00:00 UTC"),
        (["--reason", "x", "--until", "soon"], "--until: 'soon' is not"),
    ],
)
def test_a_hold_that_says_or_keeps_nothing_is_a_usage_error(options: list[str], said: str) -> None:
    found = run("hold", "bakery", "rye", 1, *options)
    assert (found.status, said in found.text) == (2, True), found
    assert not Hold.objects.exists()
