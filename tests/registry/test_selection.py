"""What the policy keeps, against a small pure reference; and that the selection goes through any number of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from registry.models import Fleet, Hold, ModelVersion, RegisteredModel, Retention
from registry.retention import selection
from registry.retention.selection import Scope
from tests import factories
from tests.factories import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R16")]
DAYS = st.integers(0, 10)
POINTERS = ("champion", "challenger", "previous_champion", "anchor")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One version as a random world has it; days are before now, those of a hold after it."""

    ready: bool
    age: int
    served: tuple[int, int | None] | None
    held: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class World:
    """One model of a fleet with a policy."""

    versions: tuple[Case, ...]
    pointers: dict[str, int]
    retention: Retention
    model_paused: bool
    fleet_paused: bool


CASES = st.builds(
    Case,
    ready=st.sampled_from((True, True, True, False)),
    age=DAYS,
    served=st.none() | st.tuples(DAYS, st.none() | DAYS),
    held=st.lists(st.none() | st.integers(-2, 2), max_size=2).map(tuple),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    versions = draw(st.lists(CASES, min_size=2, max_size=8))
    pointers = draw(st.dictionaries(st.sampled_from(POINTERS), st.integers(0, len(versions) - 1), max_size=2))
    # Mostly strict: a policy that keeps everything shows nothing.
    days = st.sampled_from((None, 0, 0, 3, 8))
    keep = st.sampled_from((0, 0, 0, 1, 2, None))
    champions = st.sampled_from((0, 0, 1, 2, None))
    retention = st.builds(
        Retention, keep=keep, champions=champions, younger_than_days=days, served_within_days=days, grace_days=days
    )
    return World(
        versions=tuple(versions),
        pointers=pointers,
        retention=draw(retention),
        model_paused=draw(st.booleans()),
        fleet_paused=draw(st.booleans()),
    )


def reference(world: World) -> set[int]:
    """The places of the versions that may go, by the words of the policy and nothing clever."""
    keep = 5 if world.retention.keep is None else world.retention.keep
    young, served = world.retention.younger_than_days or 0, world.retention.served_within_days or 0
    ready = [place for place, case in enumerate(world.versions) if case.ready]
    newest = set(sorted(ready, reverse=True)[:keep])
    served_last = sorted(
        (case.served[0], place) for place, case in enumerate(world.versions) if case.ready and case.served
    )
    champions = 3 if world.retention.champions is None else world.retention.champions
    # Versions that were promoted at the same instant are no order of champions.
    recent = {place for days, place in served_last if days in [each for each, _ in served_last[:champions]]}
    gone = set()
    for place in ready:
        case = world.versions[place]
        until = case.served[1] if case.served else 0
        kept = [
            place in world.pointers.values(),
            any(end is None or end > 0 for end in case.held),
            place in newest,
            place in recent,
            case.age < young,
            case.served is not None and (until is None or until < served),
        ]
        if not any(kept):
            gone.add(place)
    return gone


def build(world: World, *, fleet: Fleet | None = None) -> tuple[RegisteredModel, list[UUID]]:
    owner = fleet or factories.fleet(retention=world.retention, paused=world.fleet_paused)
    model = factories.registered_model(fleet=owner, state="paused" if world.model_paused else "active")
    rows = [_row(model, place, case) for place, case in enumerate(world.versions)]
    ModelVersion.objects.bulk_create(rows)
    for row, case in zip(rows, world.versions, strict=True):
        for end in case.held:
            until = None if end is None else NOW + timedelta(days=end)
            Hold.objects.create(version=row, placed_by="user", reason="test", until=until)
    pointers = {f"{name}_id": rows[place].pk for name, place in world.pointers.items()}
    RegisteredModel.objects.filter(pk=model.pk).update(**pointers)
    return model, [row.pk for row in rows]


def _row(model: RegisteredModel, place: int, case: Case) -> ModelVersion:
    began, ended = case.served or (None, None)
    return ModelVersion(
        registered_model=model,
        fleet_id=model.fleet_id,
        number=place + 1,
        label=f"20260101_000000_{place + 1:06d}",
        state="ready" if case.ready else "archived",
        created_at=NOW - timedelta(days=case.age),
        promoted_at=None if began is None else NOW - timedelta(days=began),
        served_until=None if ended is None else NOW - timedelta(days=ended),
        artifact_digest=f"{place:064x}",
        artifact_size=1,
        artifact_format="test-1",
    )


def chosen(scope: Scope, *, at: datetime = NOW) -> list[UUID]:
    return [each.id for each in selection.candidates(scope, at=at, limit=10_000)]


@pytest.mark.requirement("R16")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=worlds())
def test_the_policy_lets_go_exactly_what_no_rule_keeps(world: World) -> None:
    model, ids = build(world)
    gone = {ids[place] for place in reference(world)}
    assert set(chosen(Scope(registered_model_id=model.pk))) == gone
    tallies = selection.tallies([model.pk], at=NOW)
    assert tallies.get("", selection.Tally()).versions == len(gone)
    assert sum(each.versions for each in tallies.values()) == sum(case.ready for case in world.versions)
    assert set(tallies) <= {"", *selection.REASONS}


def plain(count: int) -> World:
    case = Case(ready=True, age=30, served=None, held=())
    return World(
        versions=(case,) * count, pointers={}, retention=Retention(keep=2), model_paused=False, fleet_paused=False
    )


@pytest.mark.requirement("R17")
def test_candidates_come_in_pages_over_the_bounds_of_batches_of_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "MODELS_AT_ONCE", 2)
    fleet = factories.fleet(retention=Retention(keep=2))
    expected = [
        version for count in (5, 1, 3, 4, 7) for version in build(plain(count), fleet=fleet)[1][: max(0, count - 2)]
    ]
    build(plain(9))
    found, after = [], selection.START
    while page := selection.candidates(Scope(fleet_id=fleet.pk), at=NOW, after=after, limit=3):
        assert len(page) <= 3
        found += [each.id for each in page]
        after = page[-1].key
    assert found == expected


def test_a_fleet_that_says_nothing_has_the_policy_of_the_installation() -> None:
    fleet = factories.fleet(retention=Retention(younger_than_days=3))
    policy = selection.policy_of(fleet)
    told = (policy.keep, policy.champions, policy.younger_than_days, policy.served_within_days, policy.grace_days)
    assert told == (5, 3, 3, 0, 7)


def test_a_page_of_a_thousand_models_is_two_statements(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    fleet = factories.fleet(retention=Retention(keep=1))
    for _ in range(12):
        build(plain(3), fleet=fleet)
    with django_assert_num_queries(3):  # the models, their candidates, and that no model comes after them
        assert len(selection.candidates(Scope(fleet_id=fleet.pk), at=NOW, limit=100)) == 24


def test_the_reasons_are_told_in_their_order() -> None:
    old = Case(ready=True, age=30, served=None, held=())
    cases: Sequence[Case] = (
        old,
        Case(ready=True, age=30, served=(9, 3), held=()),
        Case(ready=True, age=30, served=(8, 6), held=()),
        Case(ready=True, age=2, served=None, held=()),
        Case(ready=True, age=30, served=None, held=(None,)),
        old,
        old,
        old,
        old,
        old,
    )
    world = World(
        versions=tuple(cases),
        pointers={"champion": 9, "challenger": 8, "previous_champion": 7, "anchor": 6},
        retention=Retention(keep=5, champions=1, younger_than_days=5, served_within_days=5),
        model_paused=False,
        fleet_paused=False,
    )
    model, _ = build(world)
    tallies = selection.tallies([model.pk], at=NOW)
    assert {reason: tally.versions for reason, tally in tallies.items()} == {
        "": 1,
        **dict.fromkeys(selection.REASONS, 1),
    }
