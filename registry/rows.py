"""Owns plain statements for rows of many columns: objects of several tables in one reading, thousands in one writing.

Django writes a placeholder for every value and reads a table at a time; both cost more than what the database does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.models import DateTimeField, JSONField, Model
from django.db.models.expressions import DatabaseDefault
from pydantic_core import to_json

Row = TypeVar("Row", bound=Model)
_NOTHING: Mapping[str, Sequence[Any]] = {}
_Planned: Any = ServerBindingCursor  # its stub takes no connection


@cache
def columns(table: type[Model], alias: str) -> str:
    """Return the columns of a table under its alias in a statement, in the order that `made` takes them."""
    return ", ".join(f'{alias}."{field.column}"' for field in table._meta.concrete_fields)


def width(table: type[Model]) -> int:
    """Return how many columns the table has."""
    return len(table._meta.concrete_fields)


def made(table: type[Row], values: Sequence[Any]) -> Row:
    """Return the object that the columns of one row stand for, as a queryset would have read it."""
    names, converted = _read(table)
    read = list(values)
    here = connections[DEFAULT_DB_ALIAS]
    for place, convert in converted:
        read[place] = convert(read[place], None, here)
    return table.from_db(DEFAULT_DB_ALIAS, names, read)


def new(table: type[Row], **values: Any) -> Row:
    """Return the object of a row to come, with these values by the names of its attributes, and defaults.

    As the class makes it itself of the same names, in a third of the time.
    """
    return table(*[values[name] if name in values else default() for name, default in _defaults(table)])


@cache
def _defaults(table: type[Model]) -> list[tuple[str, Callable[[], Any]]]:
    return [(field.attname, field.get_default) for field in table._meta.concrete_fields]


@cache
def _read(table: type[Model]) -> tuple[list[str], list[tuple[int, Callable[..., Any]]]]:
    """Return the attributes of a row, and what makes of a value what the attribute holds, where that is another."""
    fields = table._meta.concrete_fields
    converted = [(place, field.from_db_value) for place, field in enumerate(fields) if hasattr(field, "from_db_value")]
    return [field.attname for field in fields], converted


def found(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the rows that a statement gives; one that comes again and again is planned once for each connection.

    The types of its values have to follow from the statement: `%s::bigint[]`.
    """
    with _planned() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


@contextmanager
def _planned() -> Iterator[Any]:
    """Give a cursor that sends values apart from the statement; Django's own writes them into it."""
    here: Any = connections[DEFAULT_DB_ALIAS]
    # Connects where need be and checks a kept connection, as a cursor of Django's does.
    here.close_if_health_check_failed()
    here.ensure_connection()
    cursor = _Planned(here.connection)
    with here.make_debug_cursor(cursor) if here.queries_logged else here.make_cursor(cursor) as made:
        yield made


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A statement that is carried out together with another, in one round trip, and its values."""

    statement: str
    values: Sequence[Any]


def carried_out(beside: Sequence[Beside], last: Beside) -> list[tuple[Any, ...]]:
    """Carry out statements together, in one round trip, and return the rows of the last.

    What those before it return can be read as `beside_0` and so on.
    """
    together = ", ".join(f"beside_{place} AS ({each.statement})" for place, each in enumerate(beside))
    statement = f"{f'WITH {together}' if together else ''} {last.statement}"
    return found(statement, [value for each in (*beside, last) for value in each.values])


def insert(
    objects: Sequence[Model],
    *,
    beside: Sequence[Beside] = (),
    only_if: str = "",
    prepared: Mapping[str, Sequence[Any]] = _NOTHING,
) -> list[Any]:
    """Insert new rows in their order, in one statement, and return the keys of those that were, in ascending order.

    What the database fills in itself (a number as key, defaults of the database) is left to it. With `only_if`, a
    condition in SQL, all are left out where it does not hold. Statements beside it are called `beside_0` and so on;
    `prepared` is that of `insertion`. Raises ValidationError for JSON that its column refuses.
    """
    if not objects:
        return []
    own, key = insertion(objects, only_if=only_if, prepared=prepared), type(objects[0])._meta.pk.column
    last = Beside(statement=f"{own.statement} RETURNING {key}", values=own.values)
    inserted = {key for (key,) in carried_out(beside, last)}
    if objects[0].pk is None and (inserted or not only_if):
        for each, key in zip(objects, sorted(inserted), strict=True):
            each.pk = key
    note([each for each in objects if each.pk in inserted])
    return sorted(inserted)


def insertion(
    objects: Sequence[Model], *, only_if: str = "", prepared: Mapping[str, Sequence[Any]] = _NOTHING
) -> Beside:
    """Return the statement that inserts new rows, to be carried out beside another; `note` them after it.

    `prepared` holds, for JSON columns by name, what `get_prep_value` made of the values of all objects. Raises
    ValidationError as `insert` does.
    """
    table = type(objects[0])
    fields = {str(field.column): field for field in table._meta.concrete_fields if not _is_filled_in(objects[0], field)}
    names = ", ".join(f'"{name}"' for name in fields)
    columns = {name: prepared.get(name) or _plain(field, objects) for name, field in fields.items()}
    # The order of the rows is the order in which the database counts their keys.
    statement = (
        f"INSERT INTO {table._meta.db_table} ({names}) SELECT {names} FROM ROWS FROM "
        f"(json_populate_recordset(NULL::{table._meta.db_table}, %s)) WITH ORDINALITY AS given "
        f"{f'WHERE {only_if} ' if only_if else ''}ORDER BY ordinality"
    )
    content = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Beside(statement=statement, values=[_json(content)])


def note(objects: Sequence[Model]) -> None:
    """Note in objects that they are rows now, as after bulk_create: saving one again changes its row."""
    for each in objects:
        each._state.adding, each._state.db = False, DEFAULT_DB_ALIAS


def _is_filled_in(row: Model, field: Any) -> bool:
    value = getattr(row, field.attname)
    return isinstance(value, DatabaseDefault) or (field.primary_key and value is None)


def _plain(field: Any, objects: Sequence[Model]) -> list[Any]:
    values = list(map(attrgetter(field.attname), objects))
    if isinstance(field, JSONField):
        return list(map(field.get_prep_value, values))
    if isinstance(field, DateTimeField):
        # The library that writes the rest leaves the seconds of an offset out, which zones of the past have.
        return [None if value is None else str(value) for value in values]
    return values


def _json(content: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as JSON. Raises ValueError for numbers that JSON does not have."""
    text = to_json(content, inf_nan_mode="constants", fallback=str)
    if b"NaN" in text or b"Infinity" in text:
        # As words of a text, or as numbers, which this refuses.
        return json.dumps(content, default=str, ensure_ascii=False, allow_nan=False)
    return text.decode()
