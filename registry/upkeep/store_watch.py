"""Owns what was last seen of the stores: one worker asks them, and everybody else reads its notes.

So no page and no probe waits for a store that is slow or hangs. A look is at one store, the one whose turn it is: one
that hangs ends its own look and hides no other. A look that does not come back, and nobody looking, are told as well;
that nobody looks only where periodic jobs run and had the time to. The notes carry codes, not addresses: readiness is
told to everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction

from registry import ownership, ticks
from registry.models import Bookmark
from registry.ownership import Standing

LOOK_SECONDS = 60
"""Longest look; then the process that is still at it is ended, and the next look tries again."""
SILENT_AFTER = timedelta(seconds=90)
UNSEEN = "store_unseen"
"""Nobody looks: it says nothing of the store itself."""
# Retention and the sweeps share the queue of the looks, each at work for a minute.
UNSEEN_AFTER = timedelta(minutes=10)

_PREFIX = "store:"
_ASKED, _TRIED, _FINE = "asked", "tried", "ok"
_NEVER = datetime.min.replace(tzinfo=UTC)
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


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What the notes say of a store."""

    purpose: str
    code: str = ""
    """What the last look found; empty before the first."""
    since: datetime | None = None
    """When it was first found."""
    answered: datetime | None = None
    asked: datetime | None = None
    """Since when it was asked, again and again, and has not answered."""
    tried: datetime | None = None
    """When it was asked last, of those times."""


def look(*, at: datetime) -> None:
    """Ask the store that was asked longest ago whose it is and note the answer; and before, that it was asked."""
    notes = ticks.noted(_PREFIX)
    found = [_read(purpose, notes) for purpose in ownership.in_use()]
    seen = min(found, key=lambda each: max(each.tried or _NEVER, each.answered or _NEVER))
    since = at if seen.asked is None or _is_given_up(seen, at) else seen.asked
    with transaction.atomic():
        ticks.note(f"{_PREFIX}{seen.purpose}:{_ASKED}", 0, at=since)
        ticks.note(f"{_PREFIX}{seen.purpose}:{_TRIED}", 0, at=at)
    note(ownership.standing(seen.purpose), at=at)


def note(seen: Standing, *, at: datetime) -> None:
    """Note how a store stands."""
    whole = f"{_PREFIX}{seen.purpose}"
    if (newest := ticks.kept_at(whole)) is not None and newest > at:
        # Another look began later and is done: it has seen more of the present.
        return
    name = f"{whole}:{seen.refused.code if seen.refused else _FINE}"
    with transaction.atomic():
        ticks.note(whole, 0, at=at)
        Bookmark.objects.filter(name__startswith=f"{whole}:").exclude(name=name).delete()
        # One that is there stays as it is: it says since when.
        Bookmark.objects.get_or_create(name=name, defaults={"at": at})


def known(*, now: datetime) -> dict[str, Trouble | None]:
    """Return what is wrong with each store that is set, or None, by purpose; one of which nothing is known is left out.

    Nothing is known of one that nobody has looked at of late, as long as those who should have not had the time to.
    """
    notes = ticks.noted(_PREFIX)
    seen = {purpose: _judged(_read(purpose, notes), now) for purpose in ownership.in_use()}
    return {purpose: each for purpose, judged in seen.items() for each in judged}


def troubles(*, now: datetime) -> list[Trouble]:
    """Return what is wrong with the stores that are set."""
    return [each for each in known(now=now).values() if each is not None]


def _read(purpose: str, notes: Mapping[str, Bookmark]) -> _Seen:
    times = {name.partition(":")[2]: row.at for name, row in notes.items() if name.partition(":")[0] == purpose}
    answered, asked, tried = (times.pop(name, None) for name in ("", _ASKED, _TRIED))
    code = next(iter(times), "")
    return _Seen(purpose=purpose, code=code, since=times.get(code), answered=answered, asked=asked, tried=tried)


def _judged(seen: _Seen, now: datetime) -> list[Trouble | None]:
    """Return what is wrong, or None where nothing is; nothing where nothing is known."""
    if seen.asked is not None and not _is_given_up(seen, now):
        return [_silent(seen.purpose, seen.asked)] if now - seen.asked > SILENT_AFTER else _found(seen)
    if seen.answered is not None and now - seen.answered <= UNSEEN_AFTER:
        return _found(seen)
    steady = ticks.steady_since(now=now)
    if steady is not None and now - max(steady, seen.answered or steady) > UNSEEN_AFTER:
        return [_unseen(seen.purpose, seen.answered or steady)]
    # Nobody had the time to look: what was wrong may still be, but that all was well says nothing.
    return _found(seen) if seen.code != _FINE else []


def _is_given_up(seen: _Seen, now: datetime) -> bool:
    """Whether nobody waits for the answer any more: whoever asked was ended, as at a shutdown, and nobody did since."""
    if seen.asked is None or seen.tried is None or now - seen.tried > UNSEEN_AFTER:
        return True
    if now - seen.asked <= SILENT_AFTER:
        return False
    steady = ticks.steady_since(now=now)
    return steady is not None and steady > seen.tried


def _found(seen: _Seen) -> list[Trouble | None]:
    if seen.code == _FINE:
        return [None]
    if seen.since is None:
        return []
    sentence = f"The {_NAMES[seen.purpose]} {_WORDS.get(seen.code, 'is refused')}."
    return [Trouble(purpose=seen.purpose, code=seen.code, sentence=sentence, next_step=_NEXT_STEP, since=seen.since)]


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
        code=UNSEEN,
        sentence=f"Nobody looks whether the {_NAMES[purpose]} is there.",
        next_step=(
            "Start a worker: manage.py up, or celery -A config worker -Q maintenance. Where one runs, something holds "
            "it up: see its log."
        ),
        since=since,
    )
