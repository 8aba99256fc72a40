"""Owns how a delivery is read from JSON, over REST and in files of a command: files in base64, values counted.

Each line is refused by itself.
"""

from __future__ import annotations

import binascii
from typing import Any

from registry import errors, reasons, strict_json
from registry.exchange.deliveries import Delivery

# Parsed, an empty list takes twenty times its bytes; a number in full hardly more than it has. So values are counted.
VALUES = 1_000_000
FILES = frozenset({"bundle", "forecaster"})
"""What a version is delivered as: one of these."""


def delivery(line: bytes) -> Delivery | errors.PerennialError:
    """Return what a line of JSON delivers, its files in base64, or why it is not taken."""
    try:
        said = read_values(line)
        if not isinstance(said, dict) or not isinstance(entity := said.pop("entity", None), str):
            return errors.Invalid('The line is no JSON object with an "entity".', field="entity")
        files = {name: decoded(said.pop(name), name) for name in FILES if name in said}
    except errors.Invalid as error:
        return errors.Invalid("A file of this line is not base64." if error.field else reasons.ended(error.sentence))
    return Delivery(entity=entity, said=said, **files)


def read_values(text: bytes) -> Any:
    """Return what a JSON text says, with at most `VALUES` values. Raises Malformed, TooLarge."""
    if sum(map(text.count, (b",", b"[", b"{"))) > VALUES:
        raise strict_json.TooLarge(f"These are more than {VALUES} values of JSON (commas and brackets). Send a bundle.")
    return strict_json.read(text)


def decoded(text: Any, name: str) -> bytes:
    """Return the bytes of base64. Raises Invalid, which names the field."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise errors.Invalid("This is not base64.", field=name) from error
