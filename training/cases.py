"""What one run works on: its rows of the snapshot, validated and split; what cannot go on is refused here, early."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from registry.models import Fleet
from training import conf, dataset, snapshots, sources, windows
from training.models import RetrainingPolicy, Snapshot, TrainingRun
from training.policy_terms import Expectations, RunDetails
from training.trainers.base import Grid, Refused, Series
from training.windows import Split


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One run with the data it is decided on."""

    run: TrainingRun
    policy: RetrainingPolicy
    grid: Grid
    snapshot: Snapshot
    series: Series
    split: Split
    days: int
    warnings: tuple[str, ...]
    completeness: float

    @property
    def seed(self) -> int:
        """Return the seed of this model, the same at every retraining, so that equal recipes on equal data agree."""
        return zlib.crc32(str(self.run.registered_model).encode())


@dataclass(frozen=True, kw_only=True, eq=False)
class Refusal:
    """A run that ends here, and why."""

    run: TrainingRun
    refused: Refused
    details: RunDetails


def load(some: Sequence[TrainingRun], snapshot: Snapshot, *, now: datetime) -> tuple[list[Case], list[Refusal]]:
    """Read the rows of these runs (all of one fleet) at once, validate each and split it."""
    grid = sources.grid_of(some[0].registered_model.fleet)
    panel = snapshots.read(snapshot, entities=[run.registered_model.entity_key for run in some])
    every = dataset.series_of(panel, grid)
    made = [_case(run, snapshot, every.get(run.registered_model.entity_key), grid, now) for run in some]
    return [each for each in made if isinstance(each, Case)], [each for each in made if isinstance(each, Refusal)]


def _case(run: TrainingRun, snapshot: Snapshot, whole: Series | None, grid: Grid, now: datetime) -> Case | Refusal:
    policy = run.policy
    if policy is None:
        return _refuse(run, Refused(code="policy_missing", sentence="Its policy was deleted.", next_step="Ask again."))
    days = snapshots.days_of(run.batch, policy, grid)
    series = whole and dataset.look_back(whole, days=days, newest=snapshot.window_end or now)
    if not series:
        return _refuse(run, _no_data(run, snapshot), days=days)
    found = examine(series, expectations=policy.expectations, grid=grid, now=now)
    split = found.refused or windows.split(found.series, grid)
    if isinstance(split, Refused):
        return _refuse(run, split, days=days, rows=len(series), warnings=found.warnings)
    return Case(
        run=run,
        policy=policy,
        grid=grid,
        snapshot=snapshot,
        series=found.series,
        split=split,
        days=days,
        warnings=found.warnings,
        completeness=found.completeness,
    )


def examine(series: Series, *, expectations: Expectations, grid: Grid, now: datetime) -> dataset.Validation:
    """Validate one series against a policy's expectations and the installation's defaults."""
    limits = conf.current()
    forecast = grid.kind == Fleet.Kind.FORECAST
    return dataset.validate(
        series,
        expectations=expectations,
        grid=grid,
        minimum=limits.minimum_points_forecast if forecast else limits.minimum_rows_regression,
        recommended=limits.recommended_points_forecast if forecast else limits.recommended_rows_regression,
        now=now,
    )


def _no_data(run: TrainingRun, snapshot: Snapshot) -> Refused:
    model, source = run.registered_model, snapshot.source
    named = f"entity {model.entity_key} of fleet {model.fleet.name}"
    return Refused(
        code="no_data",
        sentence=f"Source {source.tenant}/{source.name} has no row for {named}.",
        next_step="Check the source; retire the model if the entity is gone.",
    )


def _refuse(
    run: TrainingRun, refused: Refused, *, days: int | None = None, rows: int = 0, warnings: tuple[str, ...] = ()
) -> Refusal:
    return Refusal(run=run, refused=refused, details=RunDetails(days=days, rows=rows, warnings=warnings))
