"""Owns the dry run of a retraining: read, validate and split as a run would. Trains nothing, writes nothing."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from registry.models import Fleet, RegisteredModel
from training import cases, dataset, panels, policies, row_files, runs, sources, windows
from training.models import RetrainingPolicy
from training.trainers.base import Grid, Refused, Series

READ_AT_ONCE = 1000
"""Entities whose rows are in memory at a time."""


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
    newest: datetime
    now: datetime


def rehearse(
    fleet: Fleet, *, entities: Sequence[str] | None, look_back_days: int | None, now: datetime
) -> list[Rehearsed]:
    """Return what each entity would meet; None means all that the source holds and a policy governs.

    Raises PolicyMissing, SourcesDiffer, EntityUnknown, and what reading the source raises.
    """
    grid = sources.grid_of(fleet)
    with tempfile.TemporaryFile(prefix="perennial-rehearsal-") as file:
        written = sources.write(policies.source_of(fleet, None), grid, file)
        fetch, known = sources.opened_rows(file)
        pairs = policies.govern(fleet, _models(fleet, entities, panels.entities(fetch, known)))
        stage = _Stage(grid=grid, newest=row_files.aware(written.newest), now=now)
        told = []
        for first in range(0, len(pairs), READ_AT_ONCE):
            some = pairs[first : first + READ_AT_ONCE]
            panel = panels.read(fetch, known, entities=[model.entity_key for model, _ in some])
            every = dataset.series_of(panel, grid)
            told += [_rehearsed(*pair, stage, every.get(pair[0].entity_key), look_back_days) for pair in some]
    return told


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


def _rehearsed(
    model: RegisteredModel, policy: RetrainingPolicy, stage: _Stage, whole: Series | None, look_back_days: int | None
) -> Rehearsed:
    days = look_back_days or policies.look_back_days(policy, daily=stage.grid.dated)
    base = Rehearsed(entity=model.entity_key, policy=policy.name, days=days)
    series = whole and dataset.look_back(whole, days=days, newest=stage.newest)
    if not series:
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
