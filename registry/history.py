"""Owns the ledger: what happened to each model, in one chain of hashes. Refuses to change or leave out a line.

A line's hash covers the line and the hash before it, so that a line that was changed, removed or put in shows. Readers
keep a cursor over all chains and are given only what no running transaction can still precede.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection, models, transaction
from django.db.models import Q

from registry import errors
from registry.models import Event, ModelVersion, RegisteredModel
from registry.reports import GateReport

PROMOTED = "registry.champion.promoted"
ROLLED_BACK = "registry.champion.rolled_back"
CHAMPION_KINDS = (PROMOTED, ROLLED_BACK)
BATCH_ROWS = 2000

# Below it no transaction is running any more: whatever commits later has a larger id.
_SETTLED_BEFORE = models.Func(
    template="(pg_snapshot_xmin(pg_current_snapshot())::text::bigint)", output_field=models.BigIntegerField()
)
_SET_HEADS = """
UPDATE registry_registeredmodel AS m SET ledger_hash = head.hash, ledger_count = head.count, ledger_at = head.at
FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::timestamptz[]) AS head(id, hash, count, at) WHERE m.id = head.id
"""


class ModelMissing(errors.NotFound):
    """No registered model has that id."""

    code = "model_not_found"


@dataclass(frozen=True, kw_only=True)
class Line:
    """What is to be written: about one registered model, or (without one) about a fleet."""

    kind: str
    actor: str
    cause: str
    at: datetime
    registered_model_id: int | None = None
    fleet_id: int | None = None
    from_id: UUID | None = None
    to_id: UUID | None = None
    reason: str = ""
    report: GateReport | None = None
    fence: int = 0


@dataclass(frozen=True, order=True)
class Cursor:
    """How far a reader has read."""

    txid: int = 0
    id: int = 0


@dataclass(frozen=True, kw_only=True)
class Break:
    """Where a chain does not hold, and why."""

    count: int
    sentence: str


def lock(ids: Sequence[int]) -> dict[int, RegisteredModel]:
    """Lock registered models until the transaction ends, in the order of their ids, and return them as they are now.

    Raises ModelMissing. Whoever moves a pointer, changes a version's state or writes to a chain does this first;
    foreign keys to a locked model do not wait.
    """
    wanted = sorted(set(ids))
    locked = RegisteredModel.objects.filter(pk__in=wanted).order_by("pk").select_for_update(no_key=True)
    found = {registered_model.pk: registered_model for registered_model in locked}
    if len(found) != len(wanted):
        raise ModelMissing(f"There is no registered model {sorted(set(wanted) - set(found))[0]}.")
    return found


@transaction.atomic
def announce(lines: Sequence[Line]) -> list[Event]:
    """Write lines in their order and return them as events. Takes the locks of their models.

    `at` never precedes the line before it in the chain: a clock that steps back does not rewrite the past.
    """
    heads = lock([line.registered_model_id for line in lines if line.registered_model_id is not None])
    events = [_link(line, heads.get(line.registered_model_id or 0)) for line in lines]
    Event.objects.bulk_create(events, batch_size=BATCH_ROWS)
    ends = [(head.pk, head.ledger_hash, head.ledger_count, head.ledger_at) for head in heads.values()]
    _execute(_SET_HEADS, _columns(ends, 4))
    return events


def champion_at(registered_model: RegisteredModel, at: datetime) -> ModelVersion | None:
    """Return the version that was champion at that instant, or None before the first."""
    moves = Event.objects.filter(registered_model=registered_model, kind__in=CHAMPION_KINDS, at__lte=at)
    last = moves.select_related("to_version").order_by("-count").first()
    return last.to_version if last else None


def read(
    after: Cursor | None = None, *, limit: int, tenants: Sequence[str] | frozenset[str] | None = None
) -> tuple[list[Event], Cursor]:
    """Return the next events in the order of their transactions, and the cursor to go on with.

    None is missed: an event appears only when no transaction is running that could still commit one before it. A
    transaction left open anywhere on the server therefore delays readers, at most until its timeout.
    """
    start = after or Cursor()
    rows = Event.objects.filter(txid__lt=_SETTLED_BEFORE, txid__gte=start.txid)
    rows = rows.filter(Q(txid__gt=start.txid) | Q(id__gt=start.id))
    if tenants is not None:
        rows = rows.filter(fleet__tenant__in=sorted(tenants))
    events = list(rows.order_by("txid", "id")[:limit])
    return events, Cursor(events[-1].txid, events[-1].pk) if events else start


def verify(registered_model: RegisteredModel) -> Break | None:
    """Return where the chain of a model breaks, or None when every line, every link and its end hold."""
    head = RegisteredModel.objects.values_list("ledger_hash", "ledger_count").get(pk=registered_model.pk)
    previous, champion, count = "", None, 0
    for event in _chain(registered_model, until=head[1]):
        count += 1
        if fault := _fault(event, count=count, previous=previous, champion=champion):
            return Break(count=count, sentence=fault)
        previous = event.hash
        champion = event.to_version_id if event.kind in CHAMPION_KINDS else champion
    if (previous, count) != head:
        return Break(count=count, sentence=f"The chain ends at line {count}, but its model counts {head[1]}.")
    return None


def _chain(registered_model: RegisteredModel, *, until: int) -> Iterator[Event]:
    lines = Event.objects.filter(registered_model=registered_model, count__lte=until)
    return lines.order_by("count").iterator(chunk_size=BATCH_ROWS)


def _fault(event: Event, *, count: int, previous: str, champion: UUID | None) -> str | None:
    if event.count != count:
        return f"Line {count} is missing: the next one is {event.count}."
    if event.previous_hash != previous or event.hash != _hash(event):
        return f"Line {count} is not what was written, or not after what was written before it."
    if event.kind in CHAMPION_KINDS and event.from_version_id != champion:
        return f"Line {count} moves the champion from {event.from_version_id}, but it was {champion}."
    return None


def _link(line: Line, head: RegisteredModel | None) -> Event:
    event = Event(
        registered_model_id=line.registered_model_id,
        fleet_id=head.fleet_id if head else line.fleet_id,
        kind=line.kind,
        from_version_id=line.from_id,
        to_version_id=line.to_id,
        actor=line.actor,
        cause=line.cause,
        reason=line.reason,
        report=line.report,
        fence=line.fence,
        at=line.at,
    )
    if head is not None:
        _append(event, head)
    return event


def _append(event: Event, head: RegisteredModel) -> None:
    head.ledger_at = event.at = max(event.at, head.ledger_at or event.at)
    event.count, event.previous_hash = head.ledger_count + 1, head.ledger_hash
    event.hash = _hash(event)
    head.ledger_count, head.ledger_hash = event.count, event.hash


def _hash(event: Event) -> str:
    text = json.dumps(_content(event), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(event.previous_hash.encode() + text.encode()).hexdigest()


def _content(event: Event) -> Mapping[str, Any]:
    return {
        "registered_model": event.registered_model_id,
        "fleet": event.fleet_id,
        "kind": event.kind,
        "from": _text(event.from_version_id),
        "to": _text(event.to_version_id),
        "actor": event.actor,
        "cause": event.cause,
        "reason": event.reason,
        "report": _plain(event.report),
        "fence": event.fence,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "count": event.count,
    }


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _plain(report: GateReport | None) -> Any:
    """Return the report as it will be after a way through the database, which knows no negative zero."""
    plain = Event._meta.get_field("report").get_prep_value(report)
    return json.loads(json.dumps(plain), parse_float=lambda number: float(number) + 0.0)


def _execute(statement: str, columns: Sequence[list[Any]]) -> None:
    if columns[0]:
        with connection.cursor() as cursor:
            cursor.execute(statement, columns)


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[place] for row in rows] for place in range(width)]
