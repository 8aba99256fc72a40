"""Owns the ledger: what happened to each model, in one chain of hashes. Refuses to change or leave out a line.

A line's hash covers the line and the hash before it, so that a line that was changed, removed or put in shows. Readers
keep a cursor over all chains and are given only what no running transaction can still precede.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import OperationalError, models, transaction
from django.db.models import Q
from psycopg.errors import ObjectNotInPrerequisiteState

from registry import errors, rows
from registry.history import chains
from registry.history.chains import BATCH_ROWS, CHAMPION_KINDS, PROMOTED, ROLLED_BACK, Break
from registry.models import Event, ModelVersion, RegisteredModel
from registry.reports import GateReport

__all__ = [
    "BATCH_ROWS",
    "CHAMPION_KINDS",
    "PROMOTED",
    "ROLLED_BACK",
    "Break",
    "Cursor",
    "LedgerRestored",
    "Line",
    "ModelMissing",
    "announce",
    "champion_at",
    "lock",
    "newest",
    "read",
    "verify",
]

# Below it no transaction is running any more: whatever commits later has a larger id.
_SETTLED_BEFORE = models.Func(
    template="(pg_snapshot_xmin(pg_current_snapshot())::text::bigint + registry_txid_offset())",
    output_field=models.BigIntegerField(),
)
_LOCK = """
SELECT {model} FROM registry_registeredmodel AS m WHERE m.id = ANY(%s::bigint[]) ORDER BY m.id FOR NO KEY UPDATE
"""
_HEAD = ("pk", "ledger_hash", "ledger_count", "ledger_at", "last_number", "last_version_at")
_SET_HEADS = """
UPDATE registry_registeredmodel AS m SET ledger_hash = head.hash, ledger_count = head.count, ledger_at = head.at,
last_number = head.number, last_version_at = head.version_at
FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::timestamptz[], %s::int[], %s::timestamptz[])
AS head(id, hash, count, at, number, version_at) WHERE m.id = head.id
"""
# The same where nothing was written to the chain since its head was read.
_SET_HEAD_AS_READ = """
UPDATE registry_registeredmodel AS m SET ledger_hash = %s::text, ledger_count = %s::int, ledger_at = %s::timestamptz,
last_number = %s::int, last_version_at = %s::timestamptz
WHERE m.id = %s::bigint AND m.ledger_count = %s::int AND m.fence = %s::bigint RETURNING m.id
"""


# What is told of the version that the same statement makes; its model is read as it was before it.
_SHOWN = """
SELECT {} FROM beside_1 AS v JOIN registry_registeredmodel AS m ON m.id = v.registered_model_id
JOIN registry_fleet AS f ON f.id = m.fleet_id
"""
UNSHOWN = rows.Beside(statement="v.id", values=[])


class LedgerRestored(errors.Unavailable):
    """The ledger came from another server; a line written now would lie behind what readers have read."""

    code = "ledger_restored"
    next_step = "Run `manage.py after_restore` once."


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


def lock(ids: Sequence[int]) -> dict[int, RegisteredModel]:
    """Lock registered models until the transaction ends, in the order of their ids, and return them as they are now.

    Raises ModelMissing. Whoever moves a pointer, changes a version's state or writes to a chain does this first;
    foreign keys to a locked model do not wait.
    """
    wanted = sorted(set(ids))
    statement = _LOCK.format(model=rows.columns(RegisteredModel, "m"))
    locked = (rows.made(RegisteredModel, row) for row in rows.found(statement, [wanted]))
    found = {registered_model.pk: registered_model for registered_model in locked}
    if len(found) != len(wanted):
        raise ModelMissing(f"There is no registered model {sorted(set(wanted) - set(found))[0]}.")
    return found


def announce(
    lines: Sequence[Line], *, heads: Mapping[int, RegisteredModel] | None = None, versions: Sequence[ModelVersion] = ()
) -> list[Event]:
    """Write lines in their order and return them as events. Takes the locks of their models.

    Whoever holds the locks already gives what `lock` returned as `heads`; the counters of versions in them are written
    together with the ends of their chains. New `versions`, one for each line, become rows in the same statements. `at`
    never precedes the line before it in the chain: a clock that steps back does not rewrite the past. Raises
    ModelMissing, LedgerRestored.
    """
    if heads is not None:
        return _write(lines, heads, versions)
    with transaction.atomic():
        return _write(lines, lock([line.registered_model_id for line in lines if line.registered_model_id is not None]))


def announce_as_read(
    line: Line, *, head: RegisteredModel, version: ModelVersion, count: int, shown: rows.Beside = UNSHOWN
) -> tuple[Any, ...] | None:
    """Write one line and its new version, in one statement and a transaction by itself, without a lock before it.

    `count` is the place of the last line when the head was read, and `head` has what the numbering made of it since.
    Returns what `shown` gives of the version: expressions over its row `v`, its model `m` and its fleet `f`. None, and
    nothing is written, where the chain has moved on: whoever was first has the number and the place. Raises
    LedgerRestored.
    """
    said = _said(line)
    event = _link(line, head, said)
    values = [getattr(head, name) for name in (*_HEAD[1:], "pk")]
    only_if = "EXISTS (SELECT FROM beside_0)"
    made, told = (
        rows.insertion([version], only_if=only_if),
        rows.insertion([event], only_if=only_if, prepared={"report": [said]}),
    )
    beside = [
        rows.Beside(statement=_SET_HEAD_AS_READ, values=[*values, count, head.fence]),
        rows.Beside(statement=f"{made.statement} RETURNING *", values=made.values),
        told,
    ]
    with _restored_told():
        written = rows.carried_out(beside, rows.Beside(statement=_SHOWN.format(shown.statement), values=shown.values))
    rows.note([version] if written else [])
    return written[0] if written else None


def _write(
    lines: Sequence[Line], heads: Mapping[int, RegisteredModel], versions: Sequence[ModelVersion] = ()
) -> list[Event]:
    # Once for hash and column.
    said = [_said(line) for line in lines]
    events = [
        _link(line, heads.get(line.registered_model_id or 0), each) for line, each in zip(lines, said, strict=True)
    ]
    for start in range(0, len(events), BATCH_ROWS):
        batch = slice(start, start + BATCH_ROWS)
        _insert(events[batch], heads, versions[batch], said[batch])
    return events


def _insert(
    events: Sequence[Event], heads: Mapping[int, RegisteredModel], versions: Sequence[ModelVersion], said: Sequence[Any]
) -> None:
    moved = [heads[model_id] for model_id in sorted(heads.keys() & {each.registered_model_id for each in events})]
    columns = [[getattr(head, name) for head in moved] for name in _HEAD]
    beside = [rows.Beside(statement=_SET_HEADS, values=columns)]
    with _restored_told():
        rows.insert(
            events,
            beside=[*beside, rows.insertion(versions)] if versions else beside,
            prepared={"report": said},
        )
    rows.note(versions)


@contextmanager
def _restored_told() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if not isinstance(error.__cause__, ObjectNotInPrerequisiteState):
            raise
        raise LedgerRestored("The database was restored into a server that counts from a lower number.") from error


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
    settled = Event.objects.filter(txid__lt=_SETTLED_BEFORE, txid__gte=start.txid)
    settled = settled.filter(Q(txid__gt=start.txid) | Q(id__gt=start.id))
    if tenants is not None:
        settled = settled.filter(fleet__tenant__in=sorted(tenants))
    events = list(settled.order_by("txid", "id")[:limit])
    return events, Cursor(events[-1].txid, events[-1].pk) if events else start


def newest() -> Cursor:
    """Return the cursor behind everything that readers are given now."""
    last = Event.objects.filter(txid__lt=_SETTLED_BEFORE).order_by("-txid", "-id").values_list("txid", "id").first()
    return Cursor(*last) if last else Cursor()


def verify(registered_model: RegisteredModel) -> Break | None:
    """Return where the chain of a model first breaks, or None when lines, links, end and pointers hold."""
    walked = chains.walk(model_id=registered_model.pk)
    return next((found for batch in walked for found in batch.breaks), None)


def _link(line: Line, head: RegisteredModel | None, said: Any) -> Event:
    """Return the row of a line, `said` being its report as JSON has it, at the end of its model's chain."""
    at, place, before, hash = line.at, 0, "", ""
    if head is not None:
        head.ledger_at = at = max(line.at, head.ledger_at or line.at)
        head.ledger_count = place = head.ledger_count + 1
        before = head.ledger_hash
        head.ledger_hash = hash = _hash(line, head, said)
    return rows.new(
        Event,
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
        at=at,
        count=place,
        previous_hash=before,
        hash=hash,
    )


def _hash(line: Line, head: RegisteredModel, said: Any) -> str:
    """Return the hash of a line behind the end of a chain, whose head has its time and place already."""
    content = chains.line(
        line.registered_model_id, head.fleet_id, line.kind, line.from_id, line.to_id, line.actor, line.cause,
        line.reason, chains.floats(said), line.fence, head.ledger_at or line.at, head.ledger_count,
    )  # fmt: skip
    return chains.digest(head.ledger_hash, content)


def _said(line: Line) -> Any:
    return None if line.report is None else Event._meta.get_field("report").get_prep_value(line.report)
