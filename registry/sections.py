"""Owns how a table of a fleet file is read into a declared dataclass: strictly, with every problem at once."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from registry import errors
from registry.fields import adapter

T = TypeVar("T")
Range = tuple[float | None, float | None]
"""Smallest and largest allowed number, both included; None where there is no bound."""

ABSENT = object()
LONGEST_VALUE = 60

# The part of pandas' offset aliases whose steps are fixed or follow the calendar without exceptions.
FREQUENCY = r"(?:[1-9]\d{0,3})?(?:s|min|h|D|W(?:-(?:MON|TUE|WED|THU|FRI|SAT|SUN))?|MS|ME|QS|QE|YS|YE)"

WORDS = {
    "missing": "required",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text in quotes",
    "tuple_type": "a list in [ ]",
    "dict_type": "a table",
    "dataclass_type": "a table",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong in a fleet file: where, what stands there, and what is allowed."""

    key: str
    """Dotted, such as `policy.nightly.gate_limits.floor`."""
    value: str
    """As the file has it; empty where the key is absent."""
    allowed: str


class SectionInvalid(errors.Invalid):
    """A section of a fleet file breaks one or more rules."""

    code = "section_invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{each.key} = {each.value}: allowed is {each.allowed}" for each in problems))
        self.problems = tuple(problems)


def read(
    declared: type[T],
    section: object,
    *,
    at: str,
    ranges: Mapping[str, Range],
    early: Sequence[Problem] = (),
    check: Callable[[T], list[Problem]] | None = None,
) -> T:
    """Return the section as `declared`; `at` is its dotted place in the file.

    `early` are problems that the caller saw in the raw section, `check` looks at a section whose parts are sound.
    Raises SectionInvalid with every problem found.
    """
    seen = [*_out_of_range(section, ranges, at), *early]
    try:
        found = adapter(declared).validate_json(json.dumps(section, default=str), strict=True)
    except ValidationError as error:
        raise SectionInvalid([*_problems(error, declared, section, at), *seen]) from None
    problems = seen + (check(found) if check else [])
    if problems:
        raise SectionInvalid(problems)
    return found


def problem(key: str, value: object, allowed: str) -> Problem:
    """Return a problem, with the value as a reader of the file knows it."""
    return Problem(key=key, value="" if value is ABSENT else shown(value), allowed=allowed)


def shown(value: object) -> str:
    """Return a value as TOML would write it, cut to one short line."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def plain(value: object) -> object:
    """Return a value of a section as JSON would hold it, so that two can be compared and shown."""
    return TypeAdapter(Any).dump_python(value, mode="json")


def matching(text: str, pattern: str, allowed: str) -> str:
    """Return the text. Raises ValueError saying what is allowed where it does not match the pattern from end to end."""
    if re.fullmatch(pattern, text) is None:
        raise ValueError(allowed)
    return text


def _tag(text: str) -> str:
    return matching(text, r"[^\s,]{1,64}", "tags of 1 to 64 characters without blanks or commas")


def zone(text: str) -> str:
    """Return the name of a time zone. Raises ValueError saying what is allowed."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("an IANA time zone such as Europe/Berlin or UTC") from None
    return text


Tag = Annotated[str, AfterValidator(_tag)]
Zone = Annotated[str, AfterValidator(zone)]


def _problems(error: ValidationError, declared: type, section: object, at: str) -> list[Problem]:
    return [
        problem(
            ".".join([at, *map(str, found["loc"])]),
            ABSENT if found["type"] == "missing" else value_at(section, found["loc"], found["input"]),
            _allowed(found, declared),
        )
        for found in error.errors()
    ]


def _allowed(found: ErrorDetails, declared: type) -> str:
    kind, context = found["type"], found.get("ctx", {})
    if kind in ("unexpected_keyword_argument", "missing"):
        holder, name = _holder(declared, found["loc"]), str(found["loc"][-1])
        return _required(holder, name) if kind == "missing" else _unknown(holder, name)
    if kind in ("literal_error", "enum"):
        return "one of " + str(context["expected"]).replace("'", "").replace(" or ", ", ")
    return str(context["error"]) if kind == "value_error" else WORDS.get(kind, found["msg"])


def _unknown(holder: Any, name: str) -> str:
    known = [each.name for each in dataclasses.fields(holder)]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"no such key; {hint}known here: {', '.join(known)}"


def _required(holder: Any, name: str) -> str:
    choices = typing.get_args(typing.get_type_hints(holder)[name])
    closed = choices and all(isinstance(each, str) for each in choices)
    return f"one of {', '.join(choices)}" if closed else "required"


def _holder(declared: Any, loc: tuple[int | str, ...]) -> Any:
    """Return the dataclass that should have the last part of this place as a field."""
    for part in loc[:-1]:
        declared = _dataclass_in(typing.get_type_hints(declared)[part]) if isinstance(part, str) else declared
    return declared


def _dataclass_in(hint: Any) -> Any:
    """Return the dataclass of a field's type: itself, or what the list or the optional holds."""
    if dataclasses.is_dataclass(hint):
        return hint
    return next((found for each in typing.get_args(hint) if (found := _dataclass_in(each)) is not None), None)


def value_at(section: Any, loc: tuple[int | str, ...], otherwise: object = ABSENT) -> object:
    """Return what the section holds at a place, as the file has it."""
    for part in loc:
        try:
            section = section[part]
        except (KeyError, IndexError, TypeError):
            return otherwise
    return section


def _out_of_range(section: object, ranges: Mapping[str, Range], at: str) -> list[Problem]:
    found = []
    for key, (smallest, largest) in ranges.items():
        value = value_at(section, tuple(key.split(".")))
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if (smallest is not None and value < smallest) or (largest is not None and value > largest):
            found.append(problem(f"{at}.{key}", value, in_words((smallest, largest))))
    return found


def in_words(allowed: Range) -> str:
    """Return a range as a sentence gives it."""
    smallest, largest = allowed
    if largest is None:
        return f"at least {smallest:g}"
    return f"{smallest:g} to {largest:g}" if smallest is not None else f"at most {largest:g}"
