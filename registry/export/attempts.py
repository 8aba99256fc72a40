"""Owns the export of one model whose failure holds up no other: logged, recorded, and tried again at its own time.

Tells what failed for one model from what fails for all alike, so that nobody waits for one deadline again and again.
"""

from __future__ import annotations

import enum
import logging

from registry import errors
from registry.export import ExportFailed, Job, check, export, note_failure
from registry.store import StoreUnavailable

logger = logging.getLogger(__name__)

UNFORESEEN = "internal_error"


class Outcome(enum.Enum):
    """What became of one model."""

    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"
    """Failed by what would fail for every other."""


def attempt(model_id: int, job: Job) -> Outcome:
    """Export one model; a failure is logged, recorded and returned: the others do not wait for it."""
    try:
        export(model_id, job)
        return Outcome.DONE
    except errors.PerennialError as error:
        _note(model_id, job, error, code=error.code, sentence=str(error))
        return Outcome.BLOCKED if _concerns_all(error, job) else Outcome.FAILED
    except Exception as error:
        # Nobody foresaw it, and without a note the next sweep would stop at the same model.
        sentence = f"The export ended with {type(error).__name__}: {str(error)[:300]}. Report this with the log."
        _note(model_id, job, error, code=UNFORESEEN, sentence=sentence)
        return Outcome.FAILED


def _concerns_all(error: errors.PerennialError, job: Job) -> bool:
    if not isinstance(error, ExportFailed):
        return isinstance(error, StoreUnavailable)
    try:
        check(job.root)
    except ExportFailed:
        return True
    return False


def _note(model_id: int, job: Job, error: Exception, *, code: str, sentence: str) -> None:
    failures = note_failure(model_id, code=code, sentence=sentence, at=job.at)
    details = {"registered_model": model_id, "code": code, "failures": failures}
    level = logging.ERROR if failures == 1 else logging.WARNING
    trace = error if code == UNFORESEEN else None
    logger.log(level, "a model was not exported: %s", sentence, extra=details, exc_info=trace)
