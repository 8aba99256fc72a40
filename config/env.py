"""Reads the environment: one variable for each field of an app's conf, converted to the field's own type."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


def overrides(declared: type, prefix: str, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the fields of a conf dataclass that the environment sets, as `<prefix>_<FIELD>`.

    Raises ImproperlyConfigured for a value of the wrong type or out of range, and for a variable that no field has.
    """
    kinds = typing.get_type_hints(declared)
    names = {f"{prefix}_{field.name.upper()}": field.name for field in dataclasses.fields(declared)}
    unknown = sorted(name for name in environ if name.startswith(f"{prefix}_") and name not in names)
    if unknown:
        raise ImproperlyConfigured(f"{unknown[0]} is not a setting. Known are: {', '.join(sorted(names))}.")
    found = {field: read(name, kinds[field], environ) for name, field in names.items() if name in environ}
    try:
        declared(**found)
    except ValueError as error:
        raise ImproperlyConfigured(f"{prefix}: {error}.") from error
    return found


def read(name: str, kind: type, environ: Mapping[str, str] = os.environ) -> Any:
    """Return one variable as `kind` (bool, int, float or str). Raises ImproperlyConfigured naming it."""
    text = environ[name].strip()
    try:
        return flag(text) if kind is bool else kind(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}={text!r} is not a value of type {kind.__name__}.") from error


def flag(text: str) -> bool:
    """Return a switch written in words. Raises ValueError for anything else."""
    lowered = text.lower()
    if lowered in TRUE or lowered in FALSE:
        return lowered in TRUE
    raise ValueError(text)
