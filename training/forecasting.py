"""From a version's stored bytes to its forecaster, cached by digest. The web process never imports this."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from registry import artifacts, bundle, conf
from registry.models import ModelVersion
from training import publishing
from training.models import Forecast
from training.trainers import table
from training.trainers.base import Forecaster, Points, Prediction, Stamps

CACHED = 256
_cache: dict[tuple[str, str], Forecaster] = {}


def load(version: ModelVersion) -> Forecaster:
    """Return the forecaster of a version. Raises ArtifactCorrupted, ArtifactMissing, ForecasterUnreadable.

    The bytes are read and verified on every load; what they parse to is kept by their digest, for `CACHED` forecasters.
    """
    content = artifacts.load(version)
    key = (version.artifact_digest, version.trainer)
    if key not in _cache:
        if len(_cache) >= CACHED:
            _cache.pop(next(iter(_cache)))
        _cache[key] = parse(content, trainer=version.trainer)
    return _cache[key]


def parse(content: bytes, *, trainer: str) -> Forecaster:
    """Return the forecaster inside an artifact's very bytes."""
    forecaster: Forecaster = table.find(trainer).load(bundle.unpack(content, limits=_limits()).forecaster)
    return forecaster


def _limits() -> bundle.Limits:
    limits = conf.current()
    return bundle.Limits(
        max_bytes=limits.max_artifact_bytes,
        max_unpacked_bytes=limits.max_unpacked_bytes,
        max_ratio=limits.max_unpacked_ratio,
    )


def row(version_id: UUID, *, cutoff: datetime, at: Points, prediction: Prediction, published_at: datetime) -> Forecast:
    """Return the unsaved row of a published forecast."""
    return Forecast(
        version_id=version_id,
        cutoff=cutoff,
        published_at=published_at,
        time=instants(at.instants),
        yhat=[float(value) for value in prediction.yhat],
        lower=publishing.bounds(prediction.lower),
        upper=publishing.bounds(prediction.upper),
    )


def stamp(instant: datetime) -> np.datetime64:
    """Return an aware instant as the arrays hold it."""
    return np.datetime64(instant.astimezone(UTC).replace(tzinfo=None), "us")


def instants(stamps: Stamps) -> list[datetime]:
    """Return stamps as aware datetimes; a date becomes its midnight UTC, which stands for the date."""
    return [stamp.replace(tzinfo=UTC) for stamp in stamps.astype("datetime64[us]").tolist()]
