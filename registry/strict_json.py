"""Owns JSON that is read strictly: bounded depth. Refuses NUL, NaN, what is no UTF-8, and a name that stands twice."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from registry import errors

MAX_DEPTH = 20
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Malformed(errors.Invalid):
    """This is not JSON that can be read and stored."""

    code = "malformed"
    next_step = "Correct the request and send it again."


class TooLarge(errors.Invalid):
    """This is longer, or says more, than is read at once."""

    code = "body_too_large"
    status = 413
    next_step = "Send less at once: a forecaster as multipart/form-data, many versions in several calls."


def read(text: bytes) -> Any:
    """Return the value of JSON in UTF-8 that PostgreSQL can store and a reader can follow. Raises Malformed."""
    try:
        value = json.loads(
            text.decode(), parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_without_repetition
        )
    except RecursionError as error:
        raise Malformed(f"The JSON is nested deeper than {MAX_DEPTH} levels.") from error
    except ValueError as error:
        raise Malformed(f"This is not JSON in UTF-8: {_where(error)}") from error
    check(value)
    return value


def check(value: Any) -> None:
    """Refuse what PostgreSQL cannot store or a reader cannot follow. Raises Malformed."""
    waiting = [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise Malformed(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
        if isinstance(each, str):
            check_text(each)
        elif isinstance(each, Mapping):
            waiting += [(key, depth) for key in each] + [(item, depth + 1) for item in each.values()]
        elif isinstance(each, list):
            waiting += [(item, depth + 1) for item in each]


def check_text(text: str) -> None:
    """Refuse NUL and halves of surrogate pairs. Raises Malformed."""
    if _UNSTORABLE.search(text):
        raise Malformed("A text holds a NUL character or half of a surrogate pair.")


def _where(error: ValueError) -> str:
    """Return what is wrong; in a text of one line without a number of it: it may be any line of many."""
    if not isinstance(error, json.JSONDecodeError) or "\n" in error.doc.strip():
        return str(error)
    return f"{error.msg}: character {error.pos + 1}"


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
