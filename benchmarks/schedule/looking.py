"""The training worker of this benchmark: the real one but for the page, which only looks at its runs and ends them.

Messages, claims, leases, reading the runs, slices and the writing of outcomes are the product's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.signals import worker_process_init

from config.celery import app

if TYPE_CHECKING:
    from training.outcomes import Outcome
    from training.retraining import Work

__all__ = ["app"]


def look(work: Work) -> list[Outcome]:
    """End each run of a slice as succeeded, without a version."""
    from django.db import transaction

    from training import clock, outcomes

    with transaction.atomic():
        ours = outcomes.held(work.claim, [run.pk for run in work.runs])
        ended = [
            outcomes.Outcome(run_id=run.pk, state="succeeded", sentence=f"Looked at {run.registered_model}.")
            for run in work.runs
            if run.pk in ours
        ]
        outcomes.close(ended, at=clock.now())
    return ended


@worker_process_init.connect
def only_look(**_: Any) -> None:
    """Put the look in the place of the page, in each child of this worker alone."""
    from training import retraining

    retraining.retrain = look
