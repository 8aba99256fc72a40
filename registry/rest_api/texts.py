"""Owns how the database writes versions as JSON, exactly as `shapes.VersionSerializer` would; lists are read so.

Making objects and fields of a page costs many times what finding its rows does. The serializer stays what the API
documents; a test holds both to the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, cast
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Func, TextField, Value
from django.db.models.sql.compiler import SQLCompiler
from django.urls import get_script_prefix, reverse

from registry import rows
from registry.lifecycle import admission
from registry.models import ModelVersion, RegisteredModel

BEYOND = 2**31
"""A number that no version has."""
NOBODY = "00000000-0000-7000-8000-000000000000"

# Names on the wire and where they come from; {row} is the alias of the version's row, the others are joined columns.
_MEMBERS = {
    "id": "{row}.id",
    "number": "{row}.number",
    "label": "{row}.label",
    "tenant": "{tenant}",
    "fleet": "{fleet}",
    "entity": "{entity}",
    "url": "{address} || {row}.id",
    "state": "{row}.state",
    "quarantined": "{quarantined}",
    "pointers": "array_remove(ARRAY[CASE {champion} WHEN {row}.id THEN 'champion' END, "
    "CASE {challenger} WHEN {row}.id THEN 'challenger' END, CASE {anchor} WHEN {row}.id THEN 'anchor' END], NULL)",
    "promoted_at": "{promoted_at}",
    "trainer": "{row}.trainer",
    "params": "{row}.params",
    "scorecard": "{row}.scorecard",
    "data_start": "{data_start}",
    "train_end": "{train_end}",
    "fit_end": "{fit_end}",
    "rows": "{row}.rows",
    "features": "{row}.features",
    "snapshot_digest": "{row}.snapshot_digest",
    "seed": "{row}.seed",
    "library_versions": "{row}.library_versions",
    "refitted": "{row}.refitted",
    "artifact": "json_build_object('digest', {row}.artifact_digest, 'size', {row}.artifact_size, "
    "'format', {row}.artifact_format, 'key_id', {row}.artifact_key_id)",
    "note": "{row}.note",
    "tags": "{row}.tags",
    "extra": "{row}.extra",
    "created_at": "{created_at}",
}
_STAMPS = ("promoted_at", "data_start", "train_end", "fit_end", "created_at")
_STAMP = """replace(to_char({row}.{name} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000Z', 'Z')"""
# Looked up by the index of the versions that lines lead to, and only for a version that is quarantined.
_QUARANTINED = (
    f"CASE WHEN {{row}}.state = '{ModelVersion.State.QUARANTINED}' THEN (SELECT json_build_object("
    f"'reason', line.reason, 'cause', line.cause, 'actor', line.actor, 'at', {_STAMP.format(row='line', name='at')}) "
    f"FROM registry_event AS line WHERE line.to_version_id = {{row}}.id AND line.kind = '{admission.QUARANTINED}' "
    "ORDER BY line.count DESC LIMIT 1) END"
)
_JOINED = {
    "tenant": "registered_model__fleet__tenant",
    "fleet": "registered_model__fleet__name",
    "entity": "registered_model__entity_key",
    "champion": "registered_model__champion",
    "challenger": "registered_model__challenger",
    "anchor": "registered_model__anchor",
}
_ALIASES = {
    "row": "v",
    "tenant": "f.tenant",
    "fleet": "f.name",
    "entity": "m.entity_key",
    "champion": "m.champion_id",
    "challenger": "m.challenger_id",
    "anchor": "m.anchor_id",
    "address": "%s::text",
}
_FROM = """
FROM registry_modelversion AS v JOIN registry_registeredmodel AS m ON m.id = v.registered_model_id
JOIN registry_fleet AS f ON f.id = m.fleet_id
"""
_ONE = f"SELECT {{text}} {_FROM} WHERE v.id = %s"
# Its best plan is one whatever is asked for.
_NEWEST = f"""
SELECT {{text}}, v.number {_FROM} WHERE v.registered_model_id = %s AND v.state = ANY(%s)
AND v.number < %s::bigint ORDER BY v.number DESC LIMIT %s
"""


def version(version_id: UUID) -> str:
    """Return a version that exists as JSON text."""
    text = written()
    [[found]] = rows.found(_ONE.format(text=text.statement), [*text.values, version_id])
    return str(found)


def written() -> rows.Beside:
    """Return the expression that is the JSON text of the version `v` of the model `m` of the fleet `f`."""
    return rows.Beside(statement=_written().format(**_ALIASES), values=[_address()])


def newest(
    registered_model: RegisteredModel, *, states: Sequence[str], before: int | None, limit: int
) -> list[tuple[str, int]]:
    """Return versions of a model in these states as JSON text, each with its number, the newest first.

    `before` leaves out that number and those above it.
    """
    # A cursor that somebody made up may hold more digits than the column. A bound that is always there is one that the
    # plan reads the index from, however deep the page.
    bound = BEYOND if before is None else min(max(before, 0), BEYOND)
    text = written()
    values = [*text.values, registered_model.pk, list(states), bound, limit]
    return cast(list[tuple[str, int]], rows.found(_NEWEST.format(text=text.statement), values))


def address(version_id: UUID) -> str:
    """Return where a version is read."""
    return f"{_address()}{version_id}"


class VersionText(Func):
    """The version of a row as JSON text; for `values_list` of a query over versions."""

    output_field = TextField()

    def __init__(self) -> None:
        super().__init__(F("id"), Value(_address()), *map(F, _JOINED.values()))

    def as_sql(
        self,
        compiler: SQLCompiler,
        connection: BaseDatabaseWrapper,
        function: str | None = None,
        template: str | None = None,
        arg_joiner: str | None = None,
        **extra_context: Any,
    ) -> tuple[str, tuple[str | int, ...]]:
        """Return the expression."""
        (own, _), (address, parameters), *joined = [compiler.compile(each) for each in self.get_source_expressions()]
        row, _, _ = own.rpartition(".")
        found = dict(zip(_JOINED, [statement for statement, _ in joined], strict=True))
        return _written().format(row=row, address=f"{address}::text", **found), tuple(parameters)


def _address() -> str:
    return _address_below(get_script_prefix())


@lru_cache(maxsize=16)
def _address_below(prefix: str) -> str:
    # Found by patterns; it is the same for every version and every request below the same prefix.
    return reverse("version", args=[NOBODY]).removesuffix(NOBODY)


@cache
def _written() -> str:
    made = {name: _STAMP.format(row="{row}", name=name) for name in _STAMPS} | {"quarantined": _QUARANTINED}
    members = (f"'{name}', {made.get(name, member)}" for name, member in _MEMBERS.items())
    return f"json_build_object({', '.join(members)})::text"
