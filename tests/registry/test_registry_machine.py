"""Any order of registering, placing, hiding, forgetting and crashing leaves what a small pure model says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from registry import artifacts, conf, errors, history, identifiers, lifecycle, store
from registry.models import Event, Hold, ModelVersion, RegisteredModel
from tests import factories

Move = lifecycle.Move
MOST_VERSIONS = 4


class CrashError(Exception):
    """The process is gone: what was not committed never was."""


@contextmanager
def crashing() -> Iterator[None]:
    """Let everything inside happen, then lose the transaction."""
    try:
        with transaction.atomic():
            yield
            raise CrashError
    except CrashError:
        pass


@dataclass
class Reference:
    """One registered model as it has to be, without a database."""

    states: dict[UUID, str] = field(default_factory=dict)
    held: set[UUID] = field(default_factory=set)
    champion: UUID | None = None
    challenger: UUID | None = None
    anchor: UUID | None = None
    previous: UUID | None = None
    line: list[UUID | None] = field(default_factory=lambda: [None])

    def may_serve(self, version: UUID) -> bool:
        return self.states[version] == "ready" and self.champion != version

    def place(self, version: UUID) -> None:
        self.previous = self.champion
        self.line.append(version)
        self._serve(version)

    def back(self, version: UUID) -> None:
        if version in self.line:
            del self.line[len(self.line) - 1 - self.line[::-1].index(version) :]
        self.previous = self.line[-1]
        self.line.append(version)
        self._serve(version)

    def _serve(self, version: UUID) -> None:
        self.champion = version
        self.anchor = self.anchor or version
        self.challenger = None if self.challenger == version else self.challenger

    def before(self) -> UUID | None:
        earlier = (each for each in self.line[-2::-1] if each is not None and each != self.champion)
        return next((each for each in earlier if self.states[each] == "ready"), None)

    def spared(self, version: UUID, *pointers: str) -> bool:
        return version in self.held or version in {getattr(self, pointer) for pointer in pointers}


class Registry(RuleBasedStateMachine):
    """The registry beside its reference; every rule does the same to both."""

    versions = Bundle("versions")

    @initialize()
    def begin(self) -> None:
        self.model = factories.registered_model()
        self.expected = Reference()
        self.now = factories.NOW

    def words(self) -> dict[str, Any]:
        self.now += timedelta(minutes=1)
        return {"actor": "machine", "reason": "a step", "at": self.now}

    # Few versions, so that rules meet on one often.
    @precondition(lambda self: len(self.expected.states) < MOST_VERSIONS)
    @rule(target=versions)
    def register(self) -> UUID:
        made = factories.version(registered_model=self.model, at=self.now)
        self.expected.states[made.pk] = "ready"
        return made.pk

    @rule(placed=st.booleans())
    def register_and_crash(self, placed: bool) -> None:
        with crashing():
            made = factories.version(registered_model=self.model, at=self.now)
            if placed:
                self.move(lifecycle.promote, made.pk, expected=self.expected.champion)

    def move(self, how: Callable[..., lifecycle.Placed], version: UUID, *, expected: UUID | None) -> bool:
        asked = Move(registered_model_id=self.model.pk, version_id=version, expected_id=expected)
        words = self.words()
        return version in how([asked], actor=words["actor"], cause="gate", at=words["at"]).placed

    @rule(version=versions, stale=st.booleans())
    def promote(self, version: UUID, stale: bool) -> None:
        expected = identifiers.uuid7() if stale else self.expected.champion
        placed = self.move(lifecycle.promote, version, expected=expected)
        assert placed is (not stale and self.expected.may_serve(version))
        if placed:
            self.expected.place(version)

    @rule(version=versions)
    def promote_and_crash(self, version: UUID) -> None:
        with crashing():
            self.move(lifecycle.promote, version, expected=self.expected.champion)

    @rule(version=versions)
    def promote_by_hand(self, version: UUID) -> None:
        row = ModelVersion.objects.get(pk=version)
        try:
            lifecycle.promote_by_hand(registered_model=self.model, version=row, **self.words())
        except (lifecycle.AlreadyChampion, lifecycle.VersionNotReady):
            assert not self.expected.may_serve(version)
        else:
            assert self.expected.may_serve(version)
            self.expected.place(version)

    @rule(version=versions)
    def nominate(self, version: UUID) -> None:
        before = self.expected.challenger
        placed = self.move(lifecycle.nominate, version, expected=before)
        assert placed is (self.expected.may_serve(version) and before != version)
        self.expected.challenger = version if placed else before

    @rule(version=versions)
    def reject(self, version: UUID) -> None:
        placed = self.move(lifecycle.reject, version, expected=None)
        assert placed is self.expected.may_serve(version)
        if placed and self.expected.challenger == version:
            self.expected.challenger = None

    @precondition(lambda self: self.expected.champion is not None)
    @rule()
    def roll_back(self) -> None:
        target = self.expected.before()
        try:
            event = lifecycle.roll_back(registered_model=self.model, **self.words())
        except lifecycle.NothingToRollBackTo:
            assert target is None
        else:
            assert target is not None
            assert event.to_version_id == target
            self.expected.back(target)

    @precondition(lambda self: self.expected.champion is not None)
    @rule()
    def roll_back_with_many(self) -> None:
        target = self.expected.before()
        done = lifecycle.roll_back_many([self.model], **self.words(), again=True)
        assert {each.pk for each in done.to.values()} == ({target} if target else set())
        assert (self.model.pk in done.refused) is (target is None)
        if target:
            self.expected.back(target)

    @rule(version=versions)
    def roll_back_to(self, version: UUID) -> None:
        row = ModelVersion.objects.get(pk=version)
        try:
            lifecycle.roll_back(registered_model=self.model, to=row, **self.words())
        except (lifecycle.AlreadyChampion, lifecycle.VersionNotReady):
            assert not self.expected.may_serve(version)
        else:
            assert self.expected.may_serve(version)
            self.expected.back(version)

    @rule(version=versions)
    def archive(self, version: UUID) -> None:
        spared = self.expected.spared(version, "champion", "challenger", "anchor")
        self.change(lifecycle.archive, version, since=("ready",), to="archived", spared=spared)

    @rule(version=versions)
    def archive_and_crash(self, version: UUID) -> None:
        with crashing():
            lifecycle.archive([version], **self.words())

    @rule(version=versions)
    def restore(self, version: UUID) -> None:
        self.change(lifecycle.restore, version, since=("archived",), to="ready")

    @rule(version=versions)
    def quarantine(self, version: UUID) -> None:
        changed = self.change(lifecycle.quarantine, version, since=("ready", "archived"), to="quarantined")
        if changed and self.expected.challenger == version:
            self.expected.challenger = None

    @rule(version=versions)
    def release(self, version: UUID) -> None:
        self.change(lifecycle.release, version, since=("quarantined",), to="ready")

    @rule(version=versions)
    def forget(self, version: UUID) -> None:
        spared = self.expected.spared(version, "champion", "challenger", "anchor", "previous")
        self.change(lifecycle.forget, version, since=("archived", "quarantined"), to="deleted", spared=spared)

    def change(
        self, how: Callable[..., lifecycle.Outcome], version: UUID, *, since: tuple[str, ...], to: str, **also: bool
    ) -> bool:
        outcome = how([version], **self.words())
        changed = version in outcome.changed
        assert changed is (self.expected.states[version] in since and not also.get("spared", False))
        assert changed or isinstance(outcome.refused[version], errors.Conflict)
        if changed:
            self.expected.states[version] = to
        return changed

    @rule(version=versions)
    def hold(self, version: UUID) -> None:
        Hold.objects.create(version_id=version, placed_by="user", reason="wanted")
        self.expected.held.add(version)

    @rule(version=versions)
    def lift(self, version: UUID) -> None:
        Hold.objects.filter(version_id=version).delete()
        self.expected.held.discard(version)

    @invariant()
    def the_pointers_are_those_of_the_reference(self) -> None:
        row = RegisteredModel.objects.get(pk=self.model.pk)
        expected = self.expected
        assert (row.champion_id, row.challenger_id, row.anchor_id, row.previous_champion_id) == (
            expected.champion,
            expected.challenger,
            expected.anchor,
            expected.previous,
        )

    @invariant()
    def the_states_are_those_of_the_reference(self) -> None:
        rows = dict(ModelVersion.objects.filter(registered_model=self.model).values_list("pk", "state"))
        assert rows == self.expected.states
        assert self.expected.champion is None or rows[self.expected.champion] in {"ready", "quarantined"}

    @invariant()
    def the_ledger_is_one_chain_that_names_the_champion(self) -> None:
        assert history.verify(self.model) is None
        champion = history.champion_at(self.model, self.now + timedelta(days=1))
        assert (champion.pk if champion else None) == self.expected.champion
        moves = Event.objects.filter(registered_model=self.model, kind__in=history.CHAMPION_KINDS).order_by("count")
        fences = [event.fence for event in moves]
        assert fences == sorted(set(fences))

    @invariant()
    def every_version_that_is_not_forgotten_has_its_bytes(self) -> None:
        opened = store.open_store(conf.current().artifact_url)
        for version in ModelVersion.objects.filter(registered_model=self.model).exclude(state="deleted"):
            assert opened.exists(artifacts.key_of(version.artifact_digest))

    @invariant()
    def only_the_champion_serves_still(self) -> None:
        serving = ModelVersion.objects.filter(
            registered_model=self.model, promoted_at__isnull=False, served_until__isnull=True
        )
        assert {each.pk for each in serving} == ({self.expected.champion} - {None})


@pytest.mark.django_db
@pytest.mark.requirement("R06")
@pytest.mark.requirement("R07")
@pytest.mark.requirement("R26")
def test_the_registry_is_what_a_small_pure_model_says() -> None:
    run_state_machine_as_test(
        Registry,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
