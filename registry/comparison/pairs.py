"""Owns how two versions are set against each other: metric by metric, and what they were made of, differences first.

Names a winner only where the catalogue of the fleet knows which way the metric gets better, and says where the numbers
cannot be compared one to one. Refuses versions of two fleets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from registry import errors, metrics
from registry.models import ModelVersion
from registry.reports import Scorecard

Winner = Literal["first", "second", "neither", "unknown"]


class FleetsDiffer(errors.Invalid):
    """Versions of two fleets have neither unit nor metrics in common."""

    code = "fleets_differ"
    next_step = "Compare two versions of one fleet; GET fleets/{fleet}/latest shows what serves in each."


@dataclass(frozen=True, kw_only=True)
class Score:
    """One metric of both versions."""

    name: str
    first: float | None
    second: float | None
    difference: float | None
    """Second minus first."""
    relative: float | None
    """The difference as a share of the size of the first; none where that is zero or the best value is zero."""
    direction: metrics.Direction | None
    """None where the catalogue does not know the metric."""
    winner: Winner
    reason: str = ""
    """Why a value is missing, or why there is no winner."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One fact of both versions."""

    name: str
    first: object
    second: object
    differs: bool


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """The facts of one kind: `recipe`, `data`, `parameters`, `tags`, `libraries`."""

    name: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two versions, what was measured of them, and what differs; differences come first everywhere."""

    first: ModelVersion
    second: ModelVersion
    primary: str
    """The metric that the fleet goes by; it comes first."""
    metrics: tuple[Score, ...]
    dimensions: tuple[Dimension, ...]
    features_added: tuple[str, ...]
    """Of the second, not of the first."""
    features_removed: tuple[str, ...]
    warnings: tuple[str, ...]
    """Why the numbers are not to be compared one to one, and which of both cannot be placed."""


def compare(first: ModelVersion, second: ModelVersion) -> Comparison:
    """Return the second version set against the first. Raises FleetsDiffer.

    Both come with their model and its fleet; also what is archived or deleted can be compared, for its metadata stays.
    """
    if first.fleet_id != second.fleet_id:
        one, other = first.registered_model.fleet, second.registered_model.fleet
        raise FleetsDiffer(f"One version is of fleet {one}, the other of {other}.")
    settings = first.registered_model.fleet.metric_settings
    return Comparison(
        first=first,
        second=second,
        primary=settings.primary,
        metrics=_scores(first.scorecard, second.scorecard, settings.primary, metrics.catalogue_of(settings)),
        dimensions=_dimensions(first, second),
        features_added=tuple(sorted(set(second.features) - set(first.features))),
        features_removed=tuple(sorted(set(first.features) - set(second.features))),
        warnings=(*_warnings(first, second), *_unplaceable(first, second)),
    )


def _scores(
    first: Scorecard, second: Scorecard, primary: str, known: Mapping[str, metrics.Metric]
) -> tuple[Score, ...]:
    found = [_score(name, first, second, known) for name in first.metrics.keys() | second.metrics.keys()]
    return tuple(sorted(found, key=lambda each: (each.name != primary, _rank(each.difference), each.name)))


def _rank(difference: float | None) -> int:
    return 2 if difference is None else int(difference == 0)


def _score(name: str, first: Scorecard, second: Scorecard, known: Mapping[str, metrics.Metric]) -> Score:
    one, other = first.metrics.get(name), second.metrics.get(name)
    sense = known[name].direction if name in known else None
    difference = None if one is None or other is None else other - one
    winner, reason = _winner(name, one, other, known)
    return Score(
        name=name,
        first=one,
        second=other,
        difference=difference,
        relative=difference / abs(one) if difference is not None and one and sense != metrics.Direction.ZERO else None,
        direction=sense,
        winner=winner,
        reason=_missing(name, first, second) or reason,
    )


def _winner(
    name: str, one: float | None, other: float | None, known: Mapping[str, metrics.Metric]
) -> tuple[Winner, str]:
    if name not in known:
        return "unknown", f"No catalogue says which way {name} gets better: declare it in the fleet file."
    if one is None or other is None:
        return "unknown", ""
    if known[name].direction is metrics.Direction.NEITHER:
        return "neither", f"No way is better by itself: {known[name].meaning or 'the fleet says so'}."
    if metrics.is_better(name, one, other, among=known):
        return "first", ""
    return ("second", "") if metrics.is_better(name, other, one, among=known) else ("neither", "")


def _missing(name: str, first: Scorecard, second: Scorecard) -> str:
    told = {
        word: card.reasons.get(name, "no reason was given" if name in card.metrics else "it was not measured")
        for word, card in (("first", first), ("second", second))
        if card.metrics.get(name) is None
    }
    if len(told) == 2 and len(set(told.values())) == 1:
        return f"No value in either: {told['first']}"
    return " ".join(f"No value in the {word}: {why.rstrip('.')}." for word, why in told.items())


def _dimensions(first: ModelVersion, second: ModelVersion) -> tuple[Dimension, ...]:
    both = (first, second)
    named = {
        "recipe": _columns(both, "trainer", "refitted", "seed"),
        "data": [*_columns(both, "data_start", "train_end", "fit_end", "rows", "snapshot_digest"), *_windows(both)],
        "parameters": _keys(first.params, second.params),
        "features": [_pair("features", sorted(first.features), sorted(second.features))],
        "tags": [_pair("tags", sorted(first.tags), sorted(second.tags))],
        "libraries": _keys(first.library_versions, second.library_versions),
        "extra": _keys(first.extra, second.extra),
    }
    ordered = {name: tuple(sorted(pairs, key=lambda each: not each.differs)) for name, pairs in named.items()}
    return tuple(Dimension(name=name, pairs=pairs) for name, pairs in ordered.items() if pairs)


def _columns(both: tuple[ModelVersion, ModelVersion], *names: str) -> list[Pair]:
    return [_pair(name, *(getattr(each, name) for each in both)) for name in names]


def _windows(both: tuple[ModelVersion, ModelVersion]) -> list[Pair]:
    names = ("test_start", "test_end", "windows", "points", "completeness")
    return [_pair(name, *(getattr(each.scorecard, name) for each in both)) for name in names]


def _keys(first: Mapping[str, object], second: Mapping[str, object]) -> list[Pair]:
    return [_pair(name, first.get(name), second.get(name)) for name in sorted(first.keys() | second.keys())]


def _pair(name: str, first: object, second: object) -> Pair:
    return Pair(name=name, first=first, second=second, differs=first != second)


def _warnings(first: ModelVersion, second: ModelVersion) -> Iterable[str]:
    one, other = first.scorecard, second.scorecard
    if first.registered_model_id != second.registered_model_id:
        keys = f"{first.registered_model.entity_key} and {second.registered_model.entity_key}"
        yield f"These are versions of two models, {keys}: they were scored on different series."
    elif not (one.test_start and other.test_start):
        yield "At least one of the two does not say on which windows it was scored."
    elif (one.test_start, one.test_end) != (other.test_start, other.test_end):
        spans = f"{one.test_start} to {one.test_end}, the second from {other.test_start} to {other.test_end}"
        yield f"They were scored on other windows: the first from {spans}."
    elif first.snapshot_digest != second.snapshot_digest:
        yield "They were scored on the same windows of two readings of the data, which may have been corrected between."


def _unplaceable(first: ModelVersion, second: ModelVersion) -> Iterable[str]:
    for word, version in (("first", first), ("second", second)):
        if version.state != ModelVersion.State.READY:
            yield f"The {word}, v{version.number}, is {version.state}: it cannot be placed as it is."
