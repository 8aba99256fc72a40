"""A JSON column that holds one declared frozen dataclass; what is written is that and nothing else, never NaN."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.fields.json import KeyTransform, KeyTransformFactory
from pydantic import ConfigDict, TypeAdapter
from pydantic import ValidationError as PydanticError
from pydantic_core import to_jsonable_python

T = TypeVar("T")

if TYPE_CHECKING:

    class _Base(models.Field[T, T]):
        pass
else:

    class _Base(models.JSONField):
        def __class_getitem__(cls, item: object) -> type:
            return cls


def adapter(declared: type[T]) -> TypeAdapter[T]:
    """Return the strict reader and writer of a declared dataclass: unknown keys and non-finite numbers are refused."""
    return _adapter(declared, extra="forbid")


def _adapter(declared: type[T], *, extra: Literal["forbid", "ignore"]) -> TypeAdapter[T]:
    if hasattr(declared, "__dataclass_fields__"):
        declared.__pydantic_config__ = ConfigDict(extra=extra, allow_inf_nan=False)  # type: ignore[attr-defined]
    return TypeAdapter(declared)


class _Encoder(json.JSONEncoder):
    """Lets Django's JSON form field show a dataclass."""

    def default(self, o: object) -> Any:
        return to_jsonable_python(o)


class TypedJSONField(_Base[T]):
    """Store `declared` as JSON. In migrations it is a plain JSONField, so that old migrations import no app code."""

    def __init__(self, declared: type[T] = dict, **kwargs: Any) -> None:  # type: ignore[assignment]
        self.declared = declared
        # Rows outlive releases: what an older or newer one wrote is read without the keys that this one does not know.
        self.reader = _adapter(declared, extra="ignore")
        self.adapter = adapter(declared)
        kwargs.setdefault("encoder", _Encoder)
        super().__init__(**kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, _, args, kwargs = super().deconstruct()
        for runtime_only in ("default", "encoder"):
            kwargs.pop(runtime_only, None)
        return name, "django.db.models.JSONField", list(args), kwargs

    def get_transform(self, name: str) -> Any:
        found: Any = super().get_transform(name)
        if isinstance(found, KeyTransformFactory):
            # What lies inside is no `declared` any more: compared with as plain JSON.
            return partial(KeyTransform, name, output_field=models.JSONField())
        return found

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        loaded = json.loads(value) if isinstance(value, str) else value
        return None if loaded is None else self.reader.validate_python(loaded)

    def to_python(self, value: Any) -> Any:
        if value is None or (isinstance(self.declared, type) and isinstance(value, self.declared)):
            return value
        try:
            return self.adapter.validate_python(json.loads(value) if isinstance(value, str) else value)
        except (PydanticError, ValueError) as error:
            raise ValidationError(str(error)) from error

    def get_prep_value(self, value: Any) -> Any:
        return value if value is None or hasattr(value, "resolve_expression") else self._plain(value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        plain = value if prepared else self.get_prep_value(value)
        return super().get_db_prep_value(plain, connection, True)

    def value_from_object(self, obj: models.Model) -> Any:
        # What forms start from: plain, so that a form that nobody touched compares as unchanged.
        return self._plain(super().value_from_object(obj))

    def value_to_string(self, obj: models.Model) -> Any:
        return self.value_from_object(obj)

    def validate(self, value: Any, model_instance: models.Model | None) -> None:
        super().validate(None if value is None else self._plain(value), model_instance)

    def _plain(self, value: Any) -> Any:
        if value is None:
            return None
        plain = self.adapter.dump_python(self.to_python(value), mode="json")
        # A dataclass was never checked when it was made; only what it becomes can be.
        return self.adapter.dump_python(self.to_python(plain), mode="json")
