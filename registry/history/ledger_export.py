"""Owns the ledger as a file for others: CSV for people, JSON lines with which an outsider can verify every chain.

Model by model, each chain in its order, a batch at a time: what is written meanwhile leaves no hole in a chain.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from registry import sheets
from registry.history.chains import BATCH_ROWS, COLUMNS, Link, canonical, report_text
from registry.models import Event, Fleet, RegisteredModel

MODELS_AT_ONCE = 500
HEADER = (
    "tenant", "fleet", "entity", "count", "at", "kind", "from_number", "to_number", "actor", "cause", "reason",
    "verdict", "from", "to", "fence", "previous_hash", "hash",
)  # fmt: skip
_NAMES = ("from_version__number", "to_version__number", "registered_model__entity_key")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Of which fleet, or which one model of it, and from when (included) until when (left out)."""

    fleet: Fleet
    registered_model: RegisteredModel | None = None
    since: datetime | None = None
    until: datetime | None = None


def as_csv(wanted: Wanted) -> Iterator[str]:
    """Yield the lines as CSV, the header first; texts that could be formulas are made harmless."""
    yield sheets.lines([HEADER])
    yield from _pieces(wanted, lambda rows: sheets.lines(_cells(wanted.fleet, row) for row in rows))


def as_json_lines(wanted: Wanted) -> Iterator[str]:
    """Yield one JSON object a line: names, `line` exactly as it was hashed, `previous_hash`, `hash`."""
    yield from _pieces(wanted, lambda rows: "".join(_object(wanted.fleet, row) for row in rows))


def _pieces(wanted: Wanted, write: Callable[[Sequence[Any]], str]) -> Iterator[str]:
    for rows in _batches(wanted):
        yield write(rows)


def _batches(wanted: Wanted) -> Iterator[list[Any]]:
    if wanted.registered_model is not None:
        yield from _chains(wanted, [wanted.registered_model.pk])
        return
    yield from _paged(in_time(wanted).filter(registered_model=None, fleet=wanted.fleet), "pk")
    last = 0
    models = RegisteredModel.objects.filter(fleet=wanted.fleet).order_by("pk").values_list("pk", flat=True)
    while ids := list(models.filter(pk__gt=last)[:MODELS_AT_ONCE]):
        yield from _chains(wanted, ids)
        last = ids[-1]


def _chains(wanted: Wanted, ids: Sequence[int]) -> Iterator[list[Any]]:
    yield from _paged(in_time(wanted).filter(registered_model__in=ids), "registered_model_id", "count")


def in_time(wanted: Wanted) -> QuerySet[Any]:
    """Return the lines of the time asked for, of everybody."""
    rows = Event.objects.annotate(report_text=report_text())
    rows = rows.filter(at__gte=wanted.since) if wanted.since else rows
    return rows.filter(at__lt=wanted.until) if wanted.until else rows


def _paged(rows: Any, *order: str) -> Iterator[list[Any]]:
    """Yield batches of rows: an own statement each, so that a slow reader holds no transaction open."""
    after = Q()
    while batch := list(rows.filter(after).order_by(*order).values_list(*COLUMNS, *_NAMES, "pk")[:BATCH_ROWS]):
        yield batch
        last = Link.of(batch[-1][: len(COLUMNS)]).content
        if order == ("pk",):
            after = Q(pk__gt=batch[-1][-1])
        else:
            same = Q(registered_model=last["registered_model"], count__gt=last["count"])
            after = Q(registered_model__gt=last["registered_model"]) | same


def _split(row: Sequence[Any]) -> tuple[Link, Mapping[str, Any]]:
    names = dict(zip(("from", "to", "entity"), row[len(COLUMNS) :], strict=False))
    return Link.of(row[: len(COLUMNS)]), names


def _object(fleet: Fleet, row: Sequence[Any]) -> str:
    link, names = _split(row)
    shown = {"tenant": fleet.tenant, "fleet": fleet.name, "entity": names["entity"], "event": row[-1]}
    ends = {"previous_hash": link.previous_hash, "hash": link.hash}
    head, tail = (json.dumps(part, ensure_ascii=False, separators=(",", ":")) for part in (shown, ends))
    return f'{head[:-1]},"line":{canonical(link.content)},{tail[1:]}\n'


def _cells(fleet: Fleet, row: Sequence[Any]) -> tuple[Any, ...]:
    link, names = _split(row)
    line = link.content
    return (
        fleet.tenant, fleet.name, names["entity"], line["count"], line["at"], line["kind"], names["from"], names["to"],
        line["actor"], line["cause"], line["reason"], (line["report"] or {}).get("verdict"), line["from"], line["to"],
        line["fence"], link.previous_hash, link.hash,
    )  # fmt: skip
