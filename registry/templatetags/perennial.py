"""Template filters over `registry.display`, so that a value reads the same on every page."""

from __future__ import annotations

from django import template

from registry import display

register = template.Library()
for _name in ("badge", "verdict", "instant", "number", "span", "size", "link", "code", "flag", "shown"):
    register.filter(_name, getattr(display, _name))


@register.filter
def unlocalise(value: float) -> str:
    """Return a coordinate as SVG writes it, whatever the language of the page."""
    return f"{value:g}"


@register.filter
def add_number(value: float, offset: float) -> str:
    """Return a coordinate moved by an offset."""
    return f"{value + offset:g}"


@register.filter
def exact(value: object) -> object:
    """Return an instant with its seconds."""
    return display.instant(value, seconds=True)  # type: ignore[arg-type]  # templates are not typed
