"""The forecasts that versions publish: rows, written thousands at once, and read without loading a forecaster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic_core import to_json

from registry import rows
from registry.models import RegisteredModel
from training.models import Forecast

# Each calendar is sent, and read, once: the models of a fleet forecast the same days.
_PUBLISH = """
WITH calendar AS MATERIALIZED (
    SELECT place, time::timestamptz[] AS time FROM unnest(%s::text[]) WITH ORDINALITY AS given(time, place)
)
INSERT INTO training_forecast (version_id, cutoff, published_at, time, yhat, lower, upper)
SELECT version_id, cutoff, published_at, calendar.time, yhat::float8[], lower::float8[], upper::float8[]
FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::text[], %s::text[], %s::text[])
  AS given(version_id, cutoff, published_at, place, yhat, lower, upper)
JOIN calendar USING (place)
ON CONFLICT DO NOTHING RETURNING id
"""
AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Publication:
    """What a version says of n instants to come."""

    version_id: UUID
    cutoff: datetime
    """Last observation that it knew; aware."""
    published_at: datetime
    time: Sequence[datetime]
    """Aware. Forecasts that share this very object are written quickest."""
    yhat: Sequence[float]
    """In the fleet's unit."""
    lower: Sequence[float]
    """NaN where the trainer gives no interval, as in `upper`."""
    upper: Sequence[float]


def publish(publications: Sequence[Publication]) -> None:
    """Write forecasts; one of the same version and cutoff stays as it is. Raises ValueError for unequal lengths."""
    for start in range(0, len(publications), AT_ONCE):
        _publish(publications[start : start + AT_ONCE])


def _publish(some: Sequence[Publication]) -> None:
    if any(not len(each.time) == len(each.yhat) == len(each.lower) == len(each.upper) for each in some):
        raise ValueError("A forecast needs a value and two bounds for each of its instants.")
    calendars = {id(each.time): each.time for each in some}
    places = {key: place for place, key in enumerate(calendars, start=1)}
    rows.found(
        _PUBLISH,
        [
            [_array([stamp.isoformat() for stamp in time]) for time in calendars.values()],
            [each.version_id for each in some],
            [each.cutoff for each in some],
            [each.published_at for each in some],
            [places[id(each.time)] for each in some],
            [_numbers(each.yhat) for each in some],
            [_numbers(each.lower).replace("NaN", "NULL") for each in some],
            [_numbers(each.upper).replace("NaN", "NULL") for each in some],
        ],
    )


def _numbers(values: Sequence[float]) -> str:
    """Return floats as the database reads an array; each is given back exactly."""
    return _array([to_json(values, inf_nan_mode="constants").decode()[1:-1]])


def _array(texts: Sequence[str]) -> str:
    return "{" + ",".join(texts) + "}"


def published(registered_model: RegisteredModel) -> Forecast | None:
    """Return the newest forecast of the champion; None where there is no champion, or it has published nothing."""
    if registered_model.champion_id is None:
        return None
    newest = Forecast.objects.filter(version=registered_model.champion_id).select_related("version")
    return newest.order_by("-cutoff").first()
