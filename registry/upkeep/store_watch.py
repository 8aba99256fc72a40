"""Owns what was last seen of the stores: one worker asks them, and everybody else reads its notes.

So no page and no probe waits for a store that is slow or hangs. A look that does not come back, and nobody looking,
are told as well. The notes carry codes, not addresses: readiness is told to everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from registry import ownership, ticks
from registry.models import Bookmark
from registry.ownership import Standing

LOOK_SECONDS = 60
"""Longest look; then the process that is still at it is ended, and the next look tries again."""
SILENT_AFTER = timedelta(seconds=90)
# Retention and the sweeps share the queue of the looks, each at work for a minute.
UNSEEN_AFTER = timedelta(minutes=10)

_PREFIX = "store:"
_ASKED, _FINE = "asked", "ok"
_NAMES = {ownership.ARTIFACTS: "artifact store", ownership.BACKUP: "backup store"}
_NEXT_STEP = "Run manage.py store: it gives the address, what is wrong and what to do."
_WORDS = {
    "store_foreign": "belongs to another installation, or is for another purpose",
    "store_unmarked": "has lost its mark, as where a mount is gone or the bucket is another",
    "store_unavailable": "neither takes nor gives bytes",
    "stores_overlap": "is no other place than the artifact store",
    "store_address_invalid": "has an address that is none of a store",
    "cloud_missing": "needs a library that is not installed",
}


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is wrong with a store, as far as the last looks tell."""

    purpose: str
    code: str
    sentence: str
    next_step: str
    since: datetime
    """When it was first seen so."""


def look(*, at: datetime) -> None:
    """Ask each store that is set whose it is and note the answer; and before, that it was asked."""
    for purpose in ownership.in_use():
        Bookmark.objects.get_or_create(name=f"{_PREFIX}{purpose}:{_ASKED}", defaults={"at": at})
        note(ownership.standing(purpose), at=at)


def note(seen: Standing, *, at: datetime) -> None:
    """Note how a store stands."""
    whole = f"{_PREFIX}{seen.purpose}"
    name = f"{whole}:{seen.refused.code if seen.refused else _FINE}"
    with transaction.atomic():
        ticks.note(whole, 0, at=at)
        Bookmark.objects.filter(name__startswith=f"{whole}:").exclude(name=name).delete()
        # One that is there stays as it is: it says since when.
        Bookmark.objects.get_or_create(name=name, defaults={"at": at})


def troubles(*, now: datetime) -> list[Trouble]:
    """Return what is wrong with the stores that are set; nothing of one that nobody has looked at yet."""
    notes = {name: row.at for name, row in ticks.noted(_PREFIX).items() if row.at is not None}
    return [found for purpose in ownership.in_use() if (found := _trouble(purpose, notes, now)) is not None]


def _trouble(purpose: str, notes: Mapping[str, datetime], now: datetime) -> Trouble | None:
    asked, answered = notes.get(f"{purpose}:{_ASKED}"), notes.get(purpose)
    if asked is not None and now - asked > SILENT_AFTER:
        return _silent(purpose, asked)
    if asked is None and answered is not None and now - answered > UNSEEN_AFTER:
        return _unseen(purpose, answered)
    for name, since in notes.items():
        of, _, code = name.partition(":")
        if of == purpose and code not in ("", _ASKED, _FINE):
            sentence = f"The {_NAMES[purpose]} {_WORDS.get(code, 'is refused')}."
            return Trouble(purpose=purpose, code=code, sentence=sentence, next_step=_NEXT_STEP, since=since)
    return None


def _silent(purpose: str, since: datetime) -> Trouble:
    return Trouble(
        purpose=purpose,
        code="store_silent",
        sentence=f"The {_NAMES[purpose]} was asked and has not answered.",
        next_step="Check its mount or network; what is stored or read there waits, or ends with an error.",
        since=since,
    )


def _unseen(purpose: str, since: datetime) -> Trouble:
    return Trouble(
        purpose=purpose,
        code="store_unseen",
        sentence=f"Nobody looks whether the {_NAMES[purpose]} is there.",
        next_step="Start a worker: manage.py up, or celery -A config worker -Q maintenance.",
        since=since,
    )
