"""The form field of a typed JSON column: each fault is a sentence that names its place."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from pydantic import ValidationError as PydanticError
from unfold.widgets import UnfoldAdminTextareaWidget

from registry.fields import TypedJSONField


class TypedJSONFormField(forms.CharField):
    """Text that is JSON of one declared shape."""

    def __init__(self, column: TypedJSONField[Any], **kwargs: Any) -> None:
        self.column = column
        kwargs.setdefault(
            "widget", UnfoldAdminTextareaWidget(attrs={"rows": 5, "spellcheck": "false", "class": "pn-json"})
        )
        super().__init__(strip=True, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Return what the text area shows: a stored value as indented JSON, what was typed as it was typed."""
        if value is None or isinstance(value, str):
            return value
        return json.dumps(self._plain(value), indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        """Return the value as its dataclass. Raises ValidationError."""
        text = value if isinstance(value, str) else self.prepare_value(value)
        try:
            loaded = json.loads(text or "null", parse_constant=_refuse_constant)
        except ValueError as error:
            raise ValidationError(f"This is not JSON: {error}.") from error
        if loaded is None and self.column.null:
            return None
        try:
            return self.column.adapter.validate_python({} if loaded is None else loaded)
        except PydanticError as error:
            raise ValidationError([_sentence(each) for each in error.errors()]) from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self._plain(self.to_python(data)) != self._plain(initial() if callable(initial) else initial))
        except ValidationError:
            return True

    def _plain(self, value: Any) -> Any:
        # A bound form starts from plain data, a new one from the dataclass of the default.
        return value if isinstance(value, dict | list) else self.column.adapter.dump_python(value, mode="json")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number that can be stored")


def _sentence(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "The value"
    if fault["type"] == "unexpected_keyword_argument":
        return f"{place}: no such key."
    given = f", not {fault['input']!r}" if not isinstance(fault["input"], dict | list) else ""
    return f"{place}: {fault['msg'][0].lower()}{fault['msg'][1:]}{given}."
