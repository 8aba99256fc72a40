"""The card of all fields: every column of a row as something to read. No table here holds a secret."""

from __future__ import annotations

from typing import Any

from django.db.models import Field, ForeignKey, Model

from registry import display
from registry.fields import TypedJSONField

_CODES = ("digest", "hash", "signature", "location", "label", "key_id", "managed_by", "container")


def facts(row: Model, *, hidden: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    """Return (name, readable value) of every column but the hidden ones."""
    fields = [each for each in row._meta.concrete_fields if each.name not in hidden]
    return [(str(each.verbose_name), _value(row, each)) for each in fields]


def _value(row: Model, field: Field[Any, Any]) -> Any:
    value = getattr(row, field.name) if isinstance(field, ForeignKey) else field.value_from_object(row)
    if isinstance(field, TypedJSONField):
        return display.shown(value)
    if field.choices and value:
        return getattr(row, f"get_{field.name}_display")()
    if any(field.name.endswith(part) for part in _CODES):
        return display.code(value)
    return display.shown(value)
