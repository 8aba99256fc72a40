"""From a version's stored bytes to its forecaster, cached by digest, and which forecaster answers for a model.

The web process never imports this.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from threading import Lock
from uuid import UUID

import numpy as np

from registry import artifacts, errors, lifecycle, limits, timestamps
from registry.bundle import examination
from registry.lifecycle import succession
from registry.models import ModelVersion, RegisteredModel
from training import publishing
from training.trainers import table
from training.trainers.base import Forecaster, ForecasterUnreadable, Prediction, Stamps

logger = logging.getLogger(__name__)

# Of parsed forecasters that are kept, as weighed below: some five thousand of Prophet, or ten forests of 5 MB.
CACHED_BYTES = 256 * 1024**2
# What a parsed forecaster takes whatever is in it, and for each byte of its dump: JSON and packed trees grow so.
LEAST_BYTES, BYTES_FOR_EACH = 32 * 1024, 5
DAMAGED = "damaged"
"""The cause in the ledger of a quarantine by whoever wanted to serve a version and found its bytes broken."""


class Level(StrEnum):
    """Who answers for a model."""

    CHAMPION = "champion"
    PREVIOUS_CHAMPION = "previous_champion"
    """The last earlier champion whose bytes hold, because those of the champion do not."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """The forecaster that answers for a model, its version, and how far it had to be looked for."""

    version: ModelVersion
    forecaster: Forecaster
    level: Level


def load_serving(registered_model: RegisteredModel, *, at: datetime) -> Serving:
    """Return the champion's forecaster, or that of the last earlier champion that can be loaded.

    Damaged or missing bytes quarantine their version, once, with an event. Raises succession.NoChampion, and
    StoreUnavailable and SigningKeyUnknown, which say nothing about a version and change none.
    """
    champion = registered_model.champion
    if champion is None:
        raise succession.NoChampion(f"{registered_model} has no champion.")
    if (forecaster := _tried(champion, at)) is not None:
        return Serving(version=champion, forecaster=forecaster, level=Level.CHAMPION)
    for version in succession.earlier(registered_model):
        if (forecaster := _tried(version, at)) is not None:
            told = {"version": str(version.pk), "champion": str(champion.pk), "level": Level.PREVIOUS_CHAMPION.value}
            logger.warning(
                "version %s answers for %s: its champion cannot", version.number, registered_model, extra=told
            )
            return Serving(version=version, forecaster=forecaster, level=Level.PREVIOUS_CHAMPION)
    raise succession.NoChampion(f"Neither the champion of {registered_model} nor an earlier one can be loaded.")


def _tried(version: ModelVersion, at: datetime) -> Forecaster | None:
    if version.state != ModelVersion.State.READY:
        return None
    try:
        return load(version)
    except errors.Unavailable:
        raise
    except errors.PerennialError as error:
        note_failure(version, error, at=at)
    return None


def note_failure(version: ModelVersion, error: errors.PerennialError, *, at: datetime) -> None:
    """Say that a version could not be loaded; damaged or missing bytes quarantine it, once, with an event.

    A signature that fails or a trainer that is not installed changes nothing: it may be this installation's fault, for
    every version at once; bytes that are not those of the row never are.
    """
    logger.warning("%s cannot be loaded: %s", version, error, extra={"version": str(version.pk), "code": error.code})
    if is_damage(error):
        lifecycle.quarantine([version.pk], actor="system", reason=error.sentence, at=at, cause=DAMAGED)


def is_damage(error: errors.PerennialError) -> bool:
    """Return whether an error says that the very bytes of a version are not those of its row, or are gone."""
    return isinstance(error, artifacts.ArtifactMissing | artifacts.ArtifactCorrupted)


class Cache:
    """Parsed forecasters by the digest of their bytes and their trainer; those asked for longest ago go first."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._weight = 0
        self._kept: OrderedDict[tuple[str, str], tuple[Forecaster, int]] = OrderedDict()
        self._lock = Lock()

    def find(self, version: ModelVersion) -> Forecaster | None:
        """Return what the bytes of a version parse to, where it is kept."""
        key = _key(version)
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def keep(self, version: ModelVersion, forecaster: Forecaster, *, size: int) -> None:
        """Keep what `size` bytes were parsed to, and let others go for it; one alone stays, however large."""
        weight = LEAST_BYTES + BYTES_FOR_EACH * size
        with self._lock:
            self._weight += weight - self._kept.pop(_key(version), (forecaster, 0))[1]
            self._kept[_key(version)] = forecaster, weight
            while self._weight > self._most and len(self._kept) > 1:
                self._weight -= self._kept.popitem(last=False)[1][1]


def _key(version: ModelVersion) -> tuple[str, str]:
    return version.artifact_digest, version.trainer


_cache = Cache(most=CACHED_BYTES)


def load(version: ModelVersion) -> Forecaster:
    """Return the forecaster of a version. Raises what `artifacts.load` raises, BundleInvalid, ForecasterUnreadable.

    The bytes are read and verified on every load; what they parse to is kept by their digest, up to `CACHED_BYTES`.
    """
    content = artifacts.load(version)
    if (kept := _cache.find(version)) is not None:
        return kept
    data = _forecaster_of(content, trainer=version.trainer)
    forecaster = _parsed(data, trainer=version.trainer)
    _cache.keep(version, forecaster, size=len(data))
    return forecaster


def load_many(versions: Sequence[ModelVersion]) -> list[Forecaster | errors.PerennialError]:
    """Return for each version, in their order, the forecaster that `load` returns, or what it would raise.

    Bytes that lie near each other are read at once. What is parsed here is not kept: a slice is needed once, and would
    push out what is asked for again and again. Raises StoreUnavailable, which says nothing of any version.
    """
    found = zip(versions, artifacts.load_each(versions), strict=True)
    return [each if isinstance(each, errors.PerennialError) else _tried_parse(version, each) for version, each in found]


def _tried_parse(version: ModelVersion, content: bytes) -> Forecaster | errors.PerennialError:
    if (kept := _cache.find(version)) is not None:
        return kept
    try:
        return parse(content, trainer=version.trainer)
    except errors.PerennialError as error:
        return error


def content_of(version: ModelVersion) -> bytes:
    """Return the bytes of a version, verified and not parsed. Raises what `artifacts.load` raises."""
    return artifacts.load(version)


def parse(content: bytes, *, trainer: str) -> Forecaster:
    """Return the forecaster inside an artifact's very bytes.

    Raises TrainerUnknown, BundleInvalid, ForecasterRefused by what the headers say, ForecasterUnreadable.
    """
    return _parsed(_forecaster_of(content, trainer=trainer), trainer=trainer)


def _forecaster_of(content: bytes, *, trainer: str) -> bytes:
    return examination.examined_forecaster(content, format=table.format_of(trainer), limits=limits.stored())


def _parsed(data: bytes, *, trainer: str) -> Forecaster:
    try:
        forecaster: Forecaster = table.find(trainer).load(data)
    except errors.PerennialError:
        raise
    except Exception as error:  # A hostile file makes a library raise anything; whatever it is, it was not read.
        told = f"{type(error).__name__}: {str(error)[:300]}"
        raise ForecasterUnreadable(f"Reading these {len(data)} bytes ended with {told}.") from error
    return forecaster


def publication(
    version_id: UUID, *, cutoff: datetime, time: Sequence[datetime], prediction: Prediction, published_at: datetime
) -> publishing.Publication:
    """Return what a version publishes. Models that forecast the same days best share one `time` (see `instants`)."""
    return publishing.Publication(
        version_id=version_id,
        cutoff=cutoff,
        published_at=published_at,
        time=time,
        yhat=prediction.yhat.tolist(),
        lower=prediction.lower.tolist(),
        upper=prediction.upper.tolist(),
    )


def stamp(instant: datetime) -> np.datetime64:
    """Return an aware instant as the arrays hold it."""
    return np.datetime64(timestamps.make_naive(instant, zone="UTC"), "us")


def instants(stamps: Stamps) -> list[datetime]:
    """Return stamps as aware datetimes; a date becomes its midnight UTC, which stands for the date."""
    return [stamp.replace(tzinfo=UTC) for stamp in stamps.astype("datetime64[us]").tolist()]
