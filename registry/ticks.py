"""When each periodic job last ran: a silent beat shows here and nowhere else."""

from __future__ import annotations

from datetime import datetime

from registry.models import Tick


def record(name: str, *, at: datetime) -> None:
    """Note that a periodic job runs now."""
    Tick.objects.update_or_create(name=name, defaults={"at": at})


def last() -> datetime | None:
    """Return when any periodic job last ran; None before beat's first tick."""
    return Tick.objects.order_by("-at").values_list("at", flat=True).first()
