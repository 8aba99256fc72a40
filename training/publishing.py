"""The forecasts that versions publish: rows, read without loading a forecaster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from registry.models import RegisteredModel
from training.models import Forecast


def publish(rows: Sequence[Forecast]) -> None:
    """Write forecasts; one of the same version and cutoff stays as it is."""
    Forecast.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)


def published(registered_model: RegisteredModel) -> Forecast | None:
    """Return the newest forecast of the champion; None where there is no champion, or it has published nothing."""
    if registered_model.champion_id is None:
        return None
    newest = Forecast.objects.filter(version=registered_model.champion_id).select_related("version")
    return newest.order_by("-cutoff").first()


def bounds(values: Iterable[float]) -> list[float | None]:
    """Return interval bounds as a column holds them: null where the trainer gives none."""
    return [None if value != value else float(value) for value in values]
