"""Owns the dry run of a retraining: read, validate and split as a run would. Trains nothing, writes nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

import numpy as np
import pandas as pd

from registry.models import Fleet, RegisteredModel
from training import cases, dataset, policies, runs, sources, windows
from training.models import RetrainingPolicy
from training.trainers.base import Grid, Refused, Series


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """What a run of one entity would meet before anything is fitted."""

    entity: str
    policy: str
    days: int
    rows: int = 0
    start: str = ""
    """First stamp of the look-back, in the fleet's wall time."""
    end: str = ""
    train_rows: int = 0
    test_rows: int = 0
    windows: int = 0
    warnings: tuple[str, ...] = ()
    code: str = ""
    """Empty: it would be trained. Else the code, the sentence and the next step of its refusal."""
    refusal: str = ""
    next_step: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stage:
    """What is the same for every entity of one rehearsal."""

    grid: Grid
    frame: pd.DataFrame
    now: datetime

    def series(self, entity: str, *, days: int) -> Series | None:
        """Return the rows of an entity that a look-back of so many days leaves."""
        if days not in self._panels:
            self._panels[days] = dataset.panel(dataset.look_back(self.frame, days=days), self.grid)
        return self._panels[days].get(entity)

    @cached_property
    def _panels(self) -> dict[int, dict[str, Series]]:
        return {}


def rehearse(
    fleet: Fleet, *, entities: Sequence[str] | None, look_back_days: int | None, now: datetime
) -> list[Rehearsed]:
    """Return what each entity would meet; None means all that the source holds and a policy governs.

    Raises PolicyMissing, SourcesDiffer, EntityUnknown, and what reading the source raises.
    """
    grid = sources.grid_of(fleet)
    stage = _Stage(grid=grid, frame=sources.read(policies.source_of(fleet, None), grid), now=now)
    pairs = policies.govern(fleet, _models(fleet, entities, stage.frame["entity"].unique()))
    return [
        _rehearsed(model, policy, stage, days=look_back_days or policies.look_back_days(policy, daily=grid.dated))
        for model, policy in pairs
    ]


def _models(fleet: Fleet, entities: Sequence[str] | None, held: Iterable[str]) -> list[RegisteredModel]:
    """Return the models, and for entities that are in the source alone models that are not saved."""
    known = {model.entity_key: model for model in fleet.registered_models.all()}
    every = {key: RegisteredModel(fleet=fleet, entity_key=key) for key in held} | known
    missing = sorted(set(entities or ()) - every.keys())
    if missing:
        sentence = f"Neither fleet {fleet.name} nor its source has entity {missing[0]!r}."
        near = ", ".join(difflib.get_close_matches(missing[0], every))
        raise runs.EntityUnknown(sentence, field="entity", next_step=f"Near to it are: {near}." if near else "")
    chosen = [every[key] for key in sorted(every) if entities is None or key in entities]
    return [model for model in chosen if model.state != RegisteredModel.State.RETIRED]


def _rehearsed(model: RegisteredModel, policy: RetrainingPolicy, stage: _Stage, *, days: int) -> Rehearsed:
    base = Rehearsed(entity=model.entity_key, policy=policy.name, days=days)
    series = stage.series(model.entity_key, days=days)
    if series is None:
        told = f"Source {policy.source.name} has no row for entity {model.entity_key} in its last {days} days."
        step = "Check the source, or lengthen the look-back."
        return _refused(base, Refused(code="no_data", sentence=told, next_step=step))
    found = cases.examine(series, expectations=policy.expectations, grid=stage.grid, now=stage.now)
    base = replace(base, rows=len(series), start=_stamp(series, 0), end=_stamp(series, -1), warnings=found.warnings)
    split = found.refused or windows.split(found.series, stage.grid)
    if isinstance(split, Refused):
        return _refused(base, split)
    test_rows = sum(len(window.at) for window in split.windows)
    return replace(base, train_rows=len(split.train), test_rows=test_rows, windows=len(split.windows))


def _refused(base: Rehearsed, refused: Refused) -> Rehearsed:
    return replace(base, code=refused.code, refusal=refused.sentence, next_step=refused.next_step)


def _stamp(series: Series, place: int) -> str:
    return str(np.datetime_as_string(series.times[place], unit="m")).removesuffix("T00:00").replace("T", " ")
