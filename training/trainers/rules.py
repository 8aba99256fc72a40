"""What a trainer's parameters may be: declared rules that complete and refuse. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from training.trainers.base import Params, ParamsInvalid


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A default, what is allowed in words, and the test of it."""

    default: object
    allowed: str
    holds: Callable[[object], bool]


def choice(default: str, *others: str) -> Rule:
    """Allow one of some words."""
    words = (default, *others)
    return Rule(default=default, allowed="one of " + ", ".join(words), holds=lambda value: value in words)


def number(default: float, *, least: float, most: float) -> Rule:
    """Allow a finite number in a closed range."""
    return Rule(
        default=default,
        allowed=f"a number from {least:g} to {most:g}",
        holds=lambda value: _is_number(value) and least <= float(str(value)) <= most,
    )


def integer(default: int | None, *, least: int, most: int) -> Rule:
    """Allow a whole number in a closed range, and null where that is the default."""
    return Rule(
        default=default,
        allowed=f"a whole number from {least} to {most}" + (", or null" if default is None else ""),
        holds=lambda value: (
            (value is None and default is None) or (_is_whole(value) and least <= int(str(value)) <= most)
        ),
    )


def flag(default: bool) -> Rule:
    """Allow true or false."""
    return Rule(default=default, allowed="true or false", holds=lambda value: isinstance(value, bool))


def order() -> Rule:
    """Allow auto, true, false or the number of Fourier terms of a seasonality."""
    return Rule(
        default="auto",
        allowed="auto, true, false, or a whole number of Fourier terms from 1 to 50",
        holds=lambda value: (
            value == "auto" or isinstance(value, bool) or (_is_whole(value) and 1 <= int(str(value)) <= 50)
        ),
    )


def complete(rules: Mapping[str, Rule], params: Params, *, trainer: str) -> Params:
    """Return the parameters with every default filled in. Raises ParamsInvalid naming the key and what is allowed."""
    for key, value in params.items():
        if key not in rules:
            raise ParamsInvalid(f"{trainer} has no parameter {key!r}; it has {', '.join(rules)}.", field=key)
        if not rules[key].holds(value):
            raise ParamsInvalid(f"{trainer}: {key} is {value!r}; allowed is {rules[key].allowed}.", field=key)
    return {key: params.get(key, rule.default) for key, rule in rules.items()}


def defaults(rules: Mapping[str, Rule]) -> Params:
    """Return the default of each rule."""
    return {key: rule.default for key, rule in rules.items()}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
