"""What every task does before its own work: wait until the database is as new as the code."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery import Task

from registry import schema

if TYPE_CHECKING:
    Base = Task[..., Any]
else:
    Base = Task

logger = logging.getLogger(__name__)


class Duty(Base):
    """The class of every task of this application: it does nothing on tables that the code does not fit.

    A message that is dropped so is only a hint; the next tick, and the sweep of stalled chunks, do what it asked for.
    """

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work, or leave it to a later message."""
        if schema.is_behind():
            logger.warning("%s waits: migrations are not applied; run `manage.py migrate`", self.name)
            return None
        return super().__call__(*args, **kwargs)
