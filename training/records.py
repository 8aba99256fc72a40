"""What a sealed case becomes: a registration for the registry, and the forecasts that versions publish."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from uuid import UUID

import numpy as np

from registry.errors import PerennialError
from registry.lifecycle import Registration, Stored
from registry.models import Fleet
from training import evaluation, forecasting, packing, windows
from training.judging import Judged
from training.packing import Sealed
from training.publishing import Publication
from training.trainers import table
from training.trainers.base import Asked, Points, Prediction


def registration(sealed: Sealed, stored: Stored) -> Registration:
    """Return what the registry is told of a sealed case; the version's id is the run's."""
    judged, case = sealed.judged, sealed.judged.field.case
    fit_end = packing.fit_end(judged, refitted=sealed.refitted)
    instants = forecasting.instants(np.array([case.series.instants[0], case.split.train.instants[-1], fit_end]))
    return Registration(
        version_id=case.run.pk,
        registered_model_id=case.run.registered_model_id,
        stored=stored,
        trainer=judged.candidate.trainer,
        params=dict(sealed.fitted.params),
        scorecard=sealed.scorecard,
        data_start=instants[0],
        train_end=instants[1],
        fit_end=instants[2],
        rows=len(case.series),
        features=list(case.series.feature_names),
        snapshot_digest=case.snapshot.digest,
        seed=case.seed,
        library_versions=packing.libraries(),
        refitted=sealed.refitted,
        extra={"fit": dict(sealed.fitted.notes)} if sealed.fitted.notes else {},
    )


def forecasts(sealed: Sequence[Sealed], *, at: datetime) -> list[Publication]:
    """Return what the versions publish; nothing of a regression, which needs features to answer."""
    made = [each for each in sealed if each.judged.field.case.grid.kind == Fleet.Kind.FORECAST]
    return [_publication(each.judged, each.judged.field.case.run.pk, each.at, each.prediction, at) for each in made]


def refreshed(judged: Sequence[Judged], *, at: datetime) -> list[tuple[Judged, Publication]]:
    """Return the forecasts of champions that stay, from the newest observations."""
    staying = [each for each in judged if each.stored and each.champion and _forecasts(each)]
    return evaluation.in_groups(staying, key=_trainer_of, make=lambda some: _asked_again(some, at))


def _forecasts(judged: Judged) -> bool:
    return bool(judged.field.case.grid.kind == Fleet.Kind.FORECAST)


def _trainer_of(judged: Judged) -> str:
    return judged.champion.trainer if judged.champion else ""


def _asked_again(staying: Sequence[Judged], at: datetime) -> list[tuple[Judged, Publication]]:
    where = [windows.future(each.field.case.series, each.field.case.grid) for each in staying]
    asked = [
        Asked(forecaster=each.stored, observed=each.field.case.series, at=points)
        for each, points in zip(staying, where, strict=True)
        if each.stored
    ]
    made = []
    for each, points, answer in zip(
        staying, where, table.find(_trainer_of(staying[0])).predict_many(asked), strict=True
    ):
        if isinstance(answer, PerennialError):
            raise answer
        assert each.champion is not None
        made.append((each, _publication(each, each.champion.pk, points, answer, at)))
    return made


def _publication(judged: Judged, version_id: UUID, where: Points, prediction: Prediction, at: datetime) -> Publication:
    last = judged.field.case.series.instants[-1:]
    return forecasting.publication(
        version_id,
        cutoff=forecasting.instants(last)[0],
        time=_times(where),
        prediction=prediction,
        published_at=at,
    )


@lru_cache(maxsize=windows.CACHED)
def _times(where: Points) -> list[datetime]:
    """Return the instants, one object for all that forecast the same stamps: so they are written once."""
    return forecasting.instants(where.instants)
