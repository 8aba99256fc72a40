"""Coordinates of the charts, which templates draw as SVG: nothing is fetched, and no script is needed. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NARROW, WIDE, HEIGHT = 560.0, 1160.0, 240.0  # near to what a card measures, so that text keeps its size
LEFT, RIGHT, TOP, BOTTOM = 48.0, 12.0, 14.0, 28.0


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A point to look at: place, shape (dot or star), whether filled, and what the tooltip says."""

    x: float
    y: float
    text: str
    shape: str = "dot"
    hollow: bool = False


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A place on an axis, and its label."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One series: its name, a style (first, second, dashed) and its polylines, broken where values are absent."""

    name: str
    style: str
    pieces: tuple[str, ...]
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One rectangle of a stack."""

    x: float
    y: float
    width: float
    height: float
    style: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Everything a template needs to draw."""

    description: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...] = ()
    band: str = ""
    bars: tuple[Bar, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    width: float = NARROW
    height: float = HEIGHT
    left: float = LEFT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM

    @property
    def right(self) -> float:
        """Where the plot ends."""
        return self.width - RIGHT


@dataclass(frozen=True, kw_only=True)
class Series:
    """Values to draw, one for each place on the x axis; None leaves a gap. `texts` are tooltips."""

    name: str
    values: Sequence[float | None]
    style: str = "first"
    texts: Sequence[str] = ()
    stars: frozenset[int] = frozenset()
    hollow: frozenset[int] = frozenset()
    """Places of what is there no more, or not for use: dots and stars are drawn as outlines."""
    hollow_name: str = ""
    """What an outline means, for the legend."""
    marked: bool = True


@dataclass(frozen=True, kw_only=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + share * (self.end - self.start), 1)


def lines(
    *,
    labels: Sequence[str],
    series: Sequence[Series],
    description: str,
    wide: bool = False,
    band: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Chart:
    """Return lines over evenly spaced labels, with an optional band (lower, upper) behind them."""
    spread = [*band[0], *band[1]] if band else []
    known = [value for each in series for value in each.values if value is not None] + spread
    steps = ticks(min(known, default=0.0), max(known, default=1.0))
    width = WIDE if wide else NARROW
    across = _Scale(low=0, high=max(len(labels) - 1, 0), start=LEFT + 10, end=width - RIGHT - 10)
    up = _Scale(low=steps[0], high=steps[-1], start=HEIGHT - BOTTOM, end=TOP)
    return Chart(
        description=description,
        x_ticks=_thinned(labels, across),
        y_ticks=tuple(Tick(at=up.at(step), text=f"{step:g}") for step in steps),
        lines=tuple(_line(each, across, up) for each in series),
        band=_band(band, across, up) if band else "",
        legend=_legend(series),
        width=width,
    )


def stacks(*, labels: Sequence[str], parts: Mapping[str, Sequence[int]], description: str) -> Chart:
    """Return stacked bars over labels; `parts` maps a name, which is also its style, to one count for each label."""
    totals = [sum(column) for column in zip(*parts.values(), strict=True)]
    steps = ticks(0.0, float(max(totals, default=0)) or 1.0, whole=True)
    slot = (WIDE - LEFT - RIGHT) / max(len(labels), 1)
    across = _Scale(low=0, high=max(len(labels) - 1, 0), start=LEFT + slot / 2, end=WIDE - RIGHT - slot / 2)
    up = _Scale(low=0, high=steps[-1], start=HEIGHT - BOTTOM, end=TOP)
    bars = [bar for place, label in enumerate(labels) for bar in _stack(place, label, parts, across, up, slot * 0.72)]
    return Chart(
        description=description,
        x_ticks=_thinned(labels, across),
        bars=tuple(bars),
        y_ticks=tuple(Tick(at=up.at(step), text=f"{step:g}") for step in steps),
        legend=tuple((name, name) for name, counts in parts.items() if any(counts)),
        width=WIDE,
    )


def gains(*, labels: Sequence[str], values: Sequence[float], names: tuple[str, str], description: str) -> Chart:
    """Return bars up and down from zero, in percent; `names` say what up and what down means."""
    steps = ticks(min(0.0, *values), max(0.0, *values))
    slot = (WIDE - LEFT - RIGHT) / max(len(labels), 1)
    across = _Scale(low=0, high=max(len(labels) - 1, 0), start=LEFT + slot / 2, end=WIDE - RIGHT - slot / 2)
    up = _Scale(low=steps[0], high=steps[-1], start=HEIGHT - BOTTOM, end=TOP)
    styles = ("better", "worse")
    return Chart(
        description=description,
        x_ticks=_thinned(labels, across),
        y_ticks=tuple(Tick(at=up.at(step), text=f"{step:+g} %" if step else "0") for step in steps),
        bars=tuple(_gain(place, labels[place], value, across, up, slot * 0.4) for place, value in enumerate(values)),
        legend=tuple(zip(names, styles, strict=True)),
        width=WIDE,
    )


def _gain(place: int, label: str, value: float, across: _Scale, up: _Scale, width: float) -> Bar:
    zero, end = up.at(0.0), up.at(value)
    return Bar(
        x=round(across.at(place) - width / 2, 1),
        y=min(zero, end),
        width=round(width, 1),
        height=round(abs(zero - end), 1),
        style="better" if value > 0 else "worse",
        text=f"{label}: {abs(value):.1f} % {'better' if value > 0 else 'worse'}",
    )


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Return 3 to 7 round steps that cover low to high, from 0 where 0 is near."""
    low = 0.0 if 0 <= low <= 0.6 * high else low
    width = (high - low) or abs(high) or 1.0
    rough = width / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    step = max(1.0, round(step)) if whole else step
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(place * step, 10) for place in range(first, max(last, first + 1) + 1)]


def _line(series: Series, across: _Scale, up: _Scale) -> Line:
    known = [(place, across.at(place), up.at(value)) for place, value in enumerate(series.values) if value is not None]
    pieces: list[list[str]] = []
    before = None
    for place, x, y in known:
        if before is None or place != before + 1:
            pieces.append([])
        pieces[-1].append(f"{x},{y}")
        before = place
    texts = series.texts or [""] * len(series.values)
    marks = [
        Mark(
            x=x,
            y=y,
            text=texts[place],
            shape="star" if place in series.stars else "dot",
            hollow=place in series.hollow,
        )
        for place, x, y in known
    ]
    return Line(
        name=series.name,
        style=series.style,
        pieces=tuple(" ".join(piece) for piece in pieces),
        marks=tuple(marks) if series.marked else (),
    )


def _legend(series: Sequence[Series]) -> tuple[tuple[str, str], ...]:
    outlines = tuple((each.hollow_name, "hollow") for each in series if each.hollow)
    return (*((each.name, each.style) for each in series), *outlines)


def _band(band: tuple[Sequence[float], Sequence[float]], across: _Scale, up: _Scale) -> str:
    lower, upper = band
    there = [f"{across.at(place)},{up.at(value)}" for place, value in enumerate(upper)]
    back = [f"{across.at(place)},{up.at(value)}" for place, value in reversed(list(enumerate(lower)))]
    return " ".join(there + back)


def _stack(
    place: int, label: str, parts: Mapping[str, Sequence[int]], across: _Scale, up: _Scale, width: float
) -> list[Bar]:
    bars, below = [], 0
    for name, counts in parts.items():
        if counts[place]:
            top, foot = up.at(below + counts[place]), up.at(below)
            text = f"{label}: {counts[place]} {name}"
            bars.append(
                Bar(
                    x=round(across.at(place) - width / 2, 1),
                    y=top,
                    width=round(width, 1),
                    height=round(foot - top, 1),
                    style=name,
                    text=text,
                )
            )
        below += counts[place]
    return bars


def _thinned(labels: Sequence[str], across: _Scale) -> tuple[Tick, ...]:
    every = max(1, math.ceil(len(labels) / 8))
    return tuple(Tick(at=across.at(place), text=text) for place, text in enumerate(labels) if place % every == 0)
