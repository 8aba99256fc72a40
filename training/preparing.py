"""Prepares a batch: gives every model its run, reads the source, brings in new entities, and forms the chunks.

Each step commits by itself and is noted or found by its rows, so that whoever prepares a batch again goes on.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence

from django.db import InterfaceError, OperationalError, transaction

from registry import enrolment, errors
from training import chunks, clock, conf, enlisting, forming, outcomes, policies, snapshots
from training.models import Batch

logger = logging.getLogger(__name__)
ACTOR = "discovery"


class ReadingFailed(errors.PerennialError):
    """Reading a source ended in a way that nobody foresaw."""

    code = "reading_failed"
    next_step = "Look at the source, then at the worker's log; report it where the source is sound."


def prepare(claim: chunks.Claim, batch: Batch) -> None:
    """Carry the first chunk of a batch out. Raises LeaseLost; any other refusal ends the batch, and says why."""
    try:
        with reported(batch):
            # First the models that are known: where the source cannot be read, each has a run that says so.
            _list(claim, batch)
            snapshot = snapshots.ensure(batch)
            if batch.discovers:
                _discover(claim, batch, snapshots.entities(snapshot))
            forming.form(batch, claim=claim)
    except chunks.LeaseLost:
        raise
    except errors.PerennialError as error:
        _fail(claim, batch, error)


def _list(claim: chunks.Claim, batch: Batch) -> None:
    while not batch.listed:
        with transaction.atomic():
            chunks.lock(claim)
            enlisting.go_on(batch, at=clock.now())


def _discover(claim: chunks.Claim, batch: Batch, entity_keys: Sequence[str]) -> None:
    """Register the entities that are new, each with its run in the same transaction."""
    for key in entity_keys:
        enrolment.check(key)
    step = conf.current().list_runs
    for start in range(0, len(entity_keys), step):
        with transaction.atomic():
            chunks.lock(claim)
            at, some = clock.now(), entity_keys[start : start + step]
            new = enrolment.enroll(fleet=batch.fleet, entity_keys=some, actor=ACTOR, at=at)
            if new:
                governed = policies.govern(batch.fleet, [enlisting.listed(model) for model in new], batch.policy)
                enlisting.add(batch, governed, at=at)


@contextlib.contextmanager
def reported(batch: Batch) -> Iterator[None]:
    """Turn what nobody foresaw in reading a source into ReadingFailed: nothing is gained by trying it again."""
    try:
        yield
    except (errors.PerennialError, OperationalError, InterfaceError):
        raise
    except Exception as error:
        logger.error("a source could not be read", exc_info=error, extra={"batch": str(batch.pk)})
        raise ReadingFailed(f"Reading the source ended with {type(error).__name__}: {str(error)[:300]}") from error


def _fail(claim: chunks.Claim, batch: Batch, error: errors.PerennialError) -> None:
    told = {"code": error.code, "sentence": error.sentence, "next_step": error.next_step}
    left = True
    while left:
        with transaction.atomic():
            chunks.lock(claim)
            left = outcomes.fail_open(batch, **told, at=clock.now()) > 0
    with transaction.atomic():
        chunks.lock(claim)
        Batch.objects.filter(pk=batch.pk).update(halted=True, **told)
    logger.error("a batch could not be prepared", extra={"batch": str(batch.pk), **told})
