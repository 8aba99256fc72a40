"""Owns how a line of the ledger is written down and hashed, and where chains do not hold. Reads alone, memory bounded.

A line's hash is the SHA-256 of the hash before it followed by the line's content as JSON: keys sorted, no blanks, every
number of a report a float. Lines are read raw, so that what a later release adds to reports breaks no older chain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import connection, models, transaction
from django.db.models.functions import Cast

from registry.models import RegisteredModel

PROMOTED = "registry.champion.promoted"
ROLLED_BACK = "registry.champion.rolled_back"
CHAMPION_KINDS = (PROMOTED, ROLLED_BACK)
NOMINATED = "registry.challenger.nominated"
# What takes a version off the challenger's place.
ENDS_CHALLENGE = (*CHAMPION_KINDS, "registry.version.rejected", "registry.version.quarantined")
BATCH_MODELS = 1000
BATCH_ROWS = 2000

# The columns of a line, in the order in which `Link.of` takes them.
COLUMNS = (
    "registered_model_id", "fleet_id", "kind", "from_version_id", "to_version_id", "actor", "cause", "reason",
    "report_text", "fence", "at", "count", "previous_hash", "hash",
)  # fmt: skip
_HEAD = ("pk", "ledger_hash", "ledger_count", "champion_id", "challenger_id")
# Made once: a ledger has millions of lines.
_WRITER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_READER = json.JSONDecoder(parse_int=float, parse_float=lambda number: float(number) + 0.0)
_STAMPS = """
WITH moves AS (
    SELECT from_version_id, to_version_id, at, count FROM registry_event
    WHERE registered_model_id = ANY(%s) AND kind = ANY(%s)
), risen AS (
    SELECT DISTINCT ON (to_version_id) to_version_id AS id, at, count FROM moves ORDER BY to_version_id, count DESC
), gone AS (
    SELECT DISTINCT ON (from_version_id) from_version_id AS id, at, count FROM moves
    ORDER BY from_version_id, count DESC
)
SELECT v.registered_model_id, coalesce(gone.count, risen.count, 0), v.number,
    v.promoted_at IS DISTINCT FROM risen.at AS is_promotion
FROM registry_modelversion AS v LEFT JOIN risen ON risen.id = v.id LEFT JOIN gone ON gone.id = v.id
WHERE v.registered_model_id = ANY(%s) AND (
    v.promoted_at IS DISTINCT FROM risen.at
    OR v.served_until IS DISTINCT FROM CASE WHEN risen.count IS NULL OR gone.count > risen.count THEN gone.at END
) ORDER BY v.registered_model_id, v.number
"""


@dataclass(frozen=True, kw_only=True)
class Break:
    """Where the chain of a model does not hold, or a column does not say what the chain says."""

    registered_model_id: int
    count: int
    """The line, from 1; 0 where no line says anything of it."""
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Walked:
    """One batch of models whose chains were walked."""

    models: int
    lines: int
    breaks: tuple[Break, ...]


_Head = tuple[int, str, int, UUID | None, UUID | None]
"""Of a model: its id, the hash and count of its chain's end, champion, challenger."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One line as it stands: what it says, the hash before it and its own."""

    content: Mapping[str, Any]
    previous_hash: str
    hash: str

    @classmethod
    def of(cls, row: Iterable[Any]) -> Link:
        """Return the line of a row of `COLUMNS`."""
        model, fleet, kind, left, to, actor, cause, reason, report, fence, at, count, previous, own = row
        said = numbers_as_floats(report)
        content = line(model, fleet, kind, left, to, actor, cause, reason, said, fence, at, count)
        return cls(content=content, previous_hash=previous, hash=own)

    @property
    def holds(self) -> bool:
        """Whether the hash is that of the content."""
        return self.hash == digest(self.previous_hash, self.content)


def line(
    model: int | None, fleet: int | None, kind: str, left: UUID | None, to: UUID | None, actor: str, cause: str,
    reason: str, report: Any, fence: int, at: datetime, count: int,
) -> Mapping[str, Any]:  # fmt: skip
    """Return what a line says, as it is hashed; every number of its report is a float."""
    return {
        "registered_model": model, "fleet": fleet, "kind": kind, "from": _text(left), "to": _text(to),
        "actor": actor, "cause": cause, "reason": reason, "report": report, "fence": fence, "at": stamp(at),
        "count": count,
    }  # fmt: skip


def floats(plain: Any) -> Any:
    """Return plain JSON values as `numbers_as_floats` reads them back from their text."""
    kind = type(plain)
    if kind is float or kind is int:
        # Adding takes the sign off a negative zero.
        return plain + 0.0
    if kind is dict:
        return {key: floats(value) for key, value in plain.items()}
    return [floats(value) for value in plain] if kind is list else plain


def digest(previous_hash: str, content: Mapping[str, Any]) -> str:
    """Return the hash of a line that follows a line with that hash; the first one follows the empty text."""
    return hashlib.sha256(previous_hash.encode() + canonical(content).encode()).hexdigest()


def canonical(content: Mapping[str, Any]) -> str:
    """Return the content as the text that is hashed."""
    return _WRITER.encode(content)


def numbers_as_floats(text: str | None) -> Any:
    """Return a report's JSON with every number as a float: the database keeps neither kind nor a negative zero."""
    return None if text is None else _READER.decode(text)


def stamp(at: datetime) -> str:
    """Return an instant as a line writes it: UTC, with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def report_text(path: str = "") -> Cast:
    """Return the expression of a report's raw JSON, for a column named `report_text`."""
    return Cast(f"{path}report", models.TextField())


def walk(*, fleet_id: int | None = None, model_id: int | None = None) -> Iterator[Walked]:
    """Walk the chains of all models, of a fleet or of one model; yield what each batch of models came to.

    Each batch is read by one statement in one snapshot, so that writing that goes on breaks nothing.
    """
    last = 0
    while ids := _next_models(last, fleet_id, model_id):
        last = ids[-1]
        chains = [_Chain(head, lines) for head, lines in _lines(ids)]
        found = [broken for chain in chains for broken in chain.breaks]
        yield Walked(models=len(ids), lines=sum(each.lines for each in chains), breaks=(*found, *_stamp_breaks(ids)))


def _next_models(last: int, fleet_id: int | None, model_id: int | None) -> list[int]:
    rows = RegisteredModel.objects.filter(pk__gt=last)
    if fleet_id is not None:
        rows = rows.filter(fleet=fleet_id)
    if model_id is not None:
        rows = rows.filter(pk=model_id)
    return list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH_MODELS])


def _lines(ids: list[int]) -> Iterator[tuple[_Head, Iterator[Link]]]:
    heads = RegisteredModel.objects.filter(pk__in=ids).annotate(report_text=report_text("events__"))
    columns = tuple("report_text" if name == "report_text" else f"events__{name}" for name in COLUMNS)
    rows = heads.order_by("pk", "events__count").values_list(*_HEAD, *columns)
    # In a transaction the rows come through a cursor as they are asked for; outside of one they would all be kept.
    with transaction.atomic():
        for head, group in groupby(rows.iterator(chunk_size=BATCH_ROWS), key=itemgetter(slice(0, len(_HEAD)))):
            lines = (row[len(_HEAD) :] for row in group)
            yield head, (Link.of(line) for line in lines if line[0] is not None)


class _Chain:
    """Walks the lines of one model, keeps what they say so far, and what does not hold."""

    def __init__(self, head: _Head, links: Iterable[Link]) -> None:
        self.model_id, self.count, self.hash, self.lines = head[0], 0, "", 0
        self.champion: str | None = None
        self.challenger: str | None = None
        self.breaks: list[Break] = []
        for link in links:
            self.lines += 1
            self._check(link)
            self.count, self.hash = link.content["count"], link.hash
            self._follow(link.content)
        self._end(head)

    def _say(self, count: int, sentence: str) -> None:
        self.breaks.append(Break(registered_model_id=self.model_id, count=count, sentence=sentence))

    def _check(self, link: Link) -> None:
        content, count = link.content, self.count + 1
        if content["count"] != count:
            self._say(count, f"Line {count} is missing: the next one is {content['count']}.")
        elif link.previous_hash != self.hash or not link.holds:
            self._say(count, f"Line {count} is not what was written, or not after what was written before it.")
        elif content["kind"] in CHAMPION_KINDS and content["from"] != self.champion:
            was = f"but it was {self.champion}"
            self._say(count, f"Line {count} moves the champion from {content['from']}, {was}.")

    def _follow(self, content: Mapping[str, Any]) -> None:
        kind, to = content["kind"], content["to"]
        if kind in CHAMPION_KINDS:
            self.champion = to
        if kind == NOMINATED:
            self.challenger = to
        elif kind in ENDS_CHALLENGE and to == self.challenger:
            self.challenger = None

    def _end(self, head: _Head) -> None:
        _, hash, count, champion, challenger = head
        if self.count != count:
            self._say(self.count, f"The chain ends at line {self.count}, but its model counts {count}.")
        elif self.hash != hash:
            self._say(self.count, f"The chain ends with another hash than its model notes, at line {count}.")
        for name, now, written in (
            ("champion", _text(champion), self.champion),
            ("challenger", _text(challenger), self.challenger),
        ):
            if now != written:
                self._say(self.count, f"The {name} is {now}, but by the ledger it is {written}.")


def _stamp_breaks(ids: list[int]) -> Iterator[Break]:
    with connection.cursor() as cursor:
        cursor.execute(_STAMPS, [ids, list(CHAMPION_KINDS), ids])
        rows = cursor.fetchall()
    for model_id, count, number, is_promotion in rows:
        what = "became champion" if is_promotion else "ceased to serve"
        sentence = f"Version {number} notes another time at which it {what} than the ledger."
        yield Break(registered_model_id=model_id, count=count, sentence=sentence)


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
