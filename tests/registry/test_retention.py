"""Marking: by the policy, in batches, restorable, told in the ledger; and what a preview says before."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import Any

import pytest
from pytest_django import Settings

from registry import deadlines, holding, lifecycle, retention
from registry.models import Event, ModelVersion, RegisteredModel, Retention
from registry.retention import grace, selection
from registry.retention.selection import Scope, Tally
from tests import factories
from tests.factories import NOW
from tests.registry import kept

pytestmark = pytest.mark.django_db
WEEK = timedelta(days=7)


@pytest.mark.requirement("R16")
def test_a_mark_keeps_the_newest_and_returns_what_it_marked() -> None:
    model, versions = kept.model(versions=4)
    marked = kept.mark(model.fleet)
    assert marked == [each.pk for each in versions[:3]]
    assert [kept.state(each) for each in versions] == ["archived"] * 3 + ["ready"]
    assert set(ModelVersion.objects.filter(pk__in=marked).values_list("sweep_after", flat=True)) == {NOW + WEEK}
    events = Event.objects.filter(kind="registry.version.archived")
    assert {(each.actor, each.cause, each.to_version_id) for each in events} == {
        ("retention", "retention", each) for each in marked
    }
    assert kept.mark(model.fleet) == []


@pytest.mark.requirement("R16")
def test_what_a_pointer_leads_to_or_a_hold_keeps_is_never_marked() -> None:
    model = factories.registered_model(fleet=kept.fleet())
    anchor = factories.champion(registered_model=model)
    before = factories.champion(registered_model=model)
    factories.champion(registered_model=model)
    challenger, held, lapsed, free, newest = (factories.version(registered_model=model) for _ in range(5))
    move = lifecycle.Move(registered_model_id=model.pk, version_id=challenger.pk, expected_id=None)
    lifecycle.nominate([move], actor="test", cause="gate", at=NOW)
    holding.place([held.pk], placed_by="user", reason="audit", until=None, actor="ada", at=NOW)
    holding.place([lapsed.pk], placed_by="user", reason="audit", until=NOW + WEEK, actor="ada", at=NOW)
    model.refresh_from_db()
    assert (model.anchor_id, model.previous_champion_id) == (anchor.pk, before.pk)
    assert kept.mark(model.fleet) == [free.pk]
    assert kept.mark(model.fleet, at=NOW + WEEK) == [lapsed.pk]
    assert kept.state(newest) == "ready"


def test_a_hold_that_came_after_the_selection_still_spares(monkeypatch: pytest.MonkeyPatch) -> None:
    model, versions = kept.model()
    among = selection.among

    def then_hold(*args: Any, **values: Any) -> Any:
        found = among(*args, **values)
        if found:
            holding.place([versions[0].pk], placed_by="user", reason="audit", until=None, actor="ada", at=NOW)
        return found

    monkeypatch.setattr(selection, "among", then_hold)
    [step, *_] = retention.mark(Scope(fleet_id=model.fleet_id), actor="retention", at=NOW)
    assert [each.id for each in step.versions] == [versions[1].pk]
    assert {key: error.code for key, error in step.refused.items()} == {versions[0].pk: "version_held"}


@pytest.mark.parametrize("pointer", ["champion", "challenger", "anchor", "previous_champion"])
def test_a_pointer_that_moved_after_the_selection_still_spares(pointer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, versions = kept.model()
    among = selection.among

    def then_move(*args: Any, **values: Any) -> Any:
        found = among(*args, **values)
        RegisteredModel.objects.filter(pk=model.pk).update(**{pointer: versions[0]})
        return found

    monkeypatch.setattr(selection, "among", then_move)
    [step, *_] = retention.mark(Scope(fleet_id=model.fleet_id), actor="retention", at=NOW)
    assert [each.id for each in step.versions] == [versions[1].pk]
    assert {key: error.code for key, error in step.refused.items()} == {versions[0].pk: "version_in_use"}


@pytest.mark.requirement("R17")
def test_a_mark_works_in_steps_that_each_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "MODELS_AT_ONCE", 2)
    monkeypatch.setattr(retention, "MARKED_AT_ONCE", 2)
    fleet = kept.fleet()
    for count in (4, 1, 2, 6):
        kept.model(versions=count, owner=fleet)
    steps = list(retention.mark(Scope(fleet_id=fleet.pk), actor="retention", at=NOW))
    assert [len(each.versions) for each in steps] == [2, 1, 0, 2, 2, 2, 0]
    reached = [each.following for each in steps if each.following]
    assert len(reached) == len(steps)
    assert reached == sorted(reached)


@pytest.mark.parametrize("stopped_after", range(1, 7))
def test_a_mark_that_was_stopped_goes_on_where_it_was(stopped_after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "MODELS_AT_ONCE", 2)
    monkeypatch.setattr(retention, "MARKED_AT_ONCE", 2)
    fleet = kept.fleet()
    for count in (4, 4, 4):
        kept.model(versions=count, owner=fleet)
    scope = Scope(fleet_id=fleet.pk)
    before = list(islice(retention.mark(scope, actor="retention", at=NOW), stopped_after))
    after = retention.mark(scope, actor="retention", at=NOW, after=before[-1].resume)
    marked = [each.id for step in (*before, *after) for each in step.versions]
    assert (len(marked), len(set(marked))) == (9, 9)


def test_each_fleet_has_its_own_policy_and_grace() -> None:
    strict, mild = kept.fleet(), factories.fleet(retention=Retention(keep=2, grace_days=30))
    kept.model(owner=strict)
    _, versions = kept.model(owner=mild)
    list(retention.mark(Scope(), actor="retention", at=NOW))
    assert [kept.state(each) for each in versions] == ["archived", "ready", "ready"]
    assert ModelVersion.objects.get(pk=versions[0].pk).sweep_after == NOW + timedelta(days=30)


def test_a_page_is_marked_and_the_next_one_begins_behind_it() -> None:
    model, versions = kept.model(versions=6)
    scope = Scope(registered_model_id=model.pk)
    after, pages = selection.START, []
    while True:
        page = retention.mark_page(scope, actor="ada", reason="space", at=NOW, after=after, limit=3)
        pages.append([each.number for each in page.versions])
        if page.following is None:
            break
        after = page.following
    assert pages == [[1, 2, 3], [4, 5]]
    assert kept.state(versions[5]) == "ready"
    assert Event.objects.filter(kind="registry.version.archived", reason="space", actor="ada").count() == 5


@pytest.mark.requirement("R16")
def test_what_was_marked_can_be_restored_and_is_not_marked_again() -> None:
    model, versions = kept.model()
    kept.mark(model.fleet)
    outcome = holding.restore([versions[0].pk], actor="ada", reason="The season is back.", at=NOW)
    assert outcome.changed == {versions[0].pk}
    assert kept.mark(model.fleet) == []
    assert kept.state(versions[0]) == "ready"
    [hold] = versions[0].holds.all()
    assert (hold.reason, hold.until) == ("The season is back.", None)


def test_a_preview_changes_nothing_and_says_what_goes_what_stays_and_why() -> None:
    fleet = kept.fleet()
    model, versions = kept.model(versions=4, owner=fleet)
    factories.champion(registered_model=model)
    kept.model(versions=2, owner=fleet)
    kept.archive(versions[:1])
    seen = retention.preview(fleet, at=NOW)
    size = len(f"artifact {versions[0].pk}")
    assert seen.marked == Tally(models=2, versions=4, size=4 * size)
    assert {reason: each.versions for reason, each in seen.kept.items()} == {"champion": 1, "newest": 1}
    assert (seen.waiting.versions, seen.waiting.size, seen.waiting.first_at) == (1, size, NOW + WEEK)
    assert seen.due.versions == 0
    assert [kept.state(each) for each in versions] == ["archived", "ready", "ready", "ready"]


def test_a_preview_counts_what_the_next_sweep_frees_and_no_byte_that_somebody_else_needs() -> None:
    fleet = kept.fleet()
    model = factories.registered_model(fleet=fleet)
    alone = factories.version(registered_model=model, content=b"alone")
    twice = [factories.version(registered_model=model, content=b"twice!") for _ in range(2)]
    shared = [factories.version(registered_model=model, content=b"shared with one that stays") for _ in range(2)]
    container = kept.packed(contents=[b"one", b"two", b"six"], owner=fleet)
    half = kept.packed(contents=[b"ten", b"eleven"], owner=fleet)
    kept.archive([alone, *twice, shared[0], *container, half[0]])
    seen = retention.preview(fleet, at=kept.SWEPT).due
    assert (seen.versions, seen.freed) == (8, len(b"alone" + b"twice!" + b"onetwosix" + b"ten"))
    assert retention.preview(factories.fleet(), at=kept.SWEPT).due.versions == 0


def test_held_versions_are_not_due() -> None:
    model, versions = kept.model()
    kept.archive(versions[:2])
    holding.place([versions[0].pk], placed_by="user", reason="audit", until=None, actor="ada", at=NOW)
    assert retention.preview(model.fleet, at=kept.SWEPT).due.versions == 1


def test_the_default_of_the_installation_is_what_its_environment_says(settings: Settings) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "keep_versions": 2}
    made = factories.registered_model()
    for _ in range(4):
        factories.version(registered_model=made)
    assert len(kept.mark(made.fleet)) == 2


@pytest.mark.requirement("R16")
def test_the_last_champions_stay_so_that_one_can_roll_back_more_than_once() -> None:
    model = factories.registered_model(fleet=factories.fleet(retention=Retention(keep=1, champions=3)))
    champions = [factories.champion(registered_model=model, at=NOW + timedelta(hours=hour)) for hour in range(5)]
    never, newest = factories.version(registered_model=model), factories.version(registered_model=model)
    anchor = champions[0]
    assert set(kept.mark(model.fleet, at=NOW + timedelta(days=1))) == {champions[1].pk, never.pk}
    assert [kept.state(each) for each in (anchor, *champions[2:], newest)] == ["ready"] * 5


def test_a_preview_that_takes_too_long_tells_of_what_it_came_to_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "MODELS_AT_ONCE", 1)
    monkeypatch.setattr(grace, "PAGE", 1)
    fleet = kept.fleet()
    for _ in range(3):
        _, versions = kept.model(versions=4, owner=fleet)
        kept.archive(versions[:1])
    whole = retention.preview(fleet, at=kept.SWEPT)
    assert (whole.is_whole, whole.looked_at, whole.marked.versions, whole.due.versions) == (True, 3, 6, 3)
    part = retention.preview(fleet, at=kept.SWEPT, until=deadlines.after(-1))
    assert (part.is_whole, part.looked_at, part.marked.versions, part.due.versions) == (False, 1, 2, 1)
