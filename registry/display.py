"""How values read on screen: badges with icon and word, instants in UTC, numbers, links. Escapes everything."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from registry import timestamps

NOTHING = "\u2013"
# word on screen, tone, icon; a tone is never shown without its icon and word
_BADGES: dict[str, tuple[str, str, str]] = {
    "succeeded": ("succeeded", "good", "check_circle"),
    "failed": ("failed", "bad", "error"),
    "timed_out": ("timed out", "bad", "timer_off"),
    "cancelled": ("cancelled", "dull", "block"),
    "skipped": ("skipped", "dull", "skip_next"),
    "superseded": ("superseded", "dull", "swap_horiz"),
    "queued": ("queued", "info", "schedule"),
    "dispatched": ("dispatched", "info", "send"),
    "running": ("running", "info", "autorenew"),
    "passed": ("passed", "good", "check"),
    "held": ("held", "warn", "front_hand"),
    "refused": ("refused", "calm", "do_not_disturb_on"),
    "warned": ("warned", "warn", "warning"),
    "ready": ("ready", "good", "check"),
    "pending": ("pending", "info", "hourglass_empty"),
    "quarantined": ("quarantined", "bad", "gpp_bad"),
    "archived": ("archived", "dull", "inventory_2"),
    "deleted": ("deleted", "dull", "delete"),
    "active": ("active", "good", "play_circle"),
    "enabled": ("enabled", "good", "play_circle"),
    "disabled": ("disabled", "dull", "stop_circle"),
    "paused": ("paused", "warn", "pause_circle"),
    "retired": ("retired", "dull", "bedtime"),
    "open": ("open", "info", "autorenew"),
    "done": ("done", "good", "check"),
    "lost": ("lost", "bad", "link_off"),
    "halted": ("halted", "bad", "front_hand"),
    "champion": ("champion", "prime", "star"),
    "challenger": ("challenger", "warn", "swords"),
    "live": ("live", "good", "sensors"),
    "silent": ("silent", "bad", "sensors_off"),
    "stopped": ("stopped", "dull", "power_settings_new"),
    "late": ("late", "bad", "alarm"),
    "new": ("new", "info", "fiber_new"),
    "last_passed": ("last run passed", "good", "check"),
    "last_refused": ("last run refused", "calm", "do_not_disturb_on"),
    "serving": ("champion serves", "info", "star"),
    "failing": ("failing", "bad", "error"),
    "critical": ("act now", "bad", "error"),
    "warning": ("look", "warn", "warning"),
    "info": ("info", "info", "info"),
}


def badge(state: str, word: str | None = None, *, title: str = "") -> SafeString | str:
    """Return a state as a pill: colour, icon and word together, so that colour is never the only signal."""
    if not state:
        return NOTHING
    shown, tone, icon = _BADGES.get(state, (state, "dull", "label"))
    return format_html(
        '<span class="pn-badge pn-{}" title="{}">'
        '<span class="material-symbols-outlined" aria-hidden="true">{}</span>{}</span>',
        tone,
        title,
        icon,
        word or shown,
    )


def verdict(value: str) -> SafeString | str:
    """Return a gate's verdict; `failed` reads as refused, since not being better is a normal outcome."""
    return badge("refused" if value == "failed" else value)


def instant(value: datetime | None, *, seconds: bool = False) -> SafeString | str:
    """Return an instant in UTC; the page's script adds the viewer's own time and the age to the tooltip."""
    if value is None:
        return NOTHING
    text = timestamps.readable(value, seconds=seconds)
    return format_html(
        '<time datetime="{}" title="{}" class="pn-time">{}</time>', value.isoformat(), value.isoformat(), text
    )


def stamp(value: datetime | None) -> SafeString | str:
    """Return the stamp of an observation: midnight stands for a date, which has no zone."""
    if value is not None and (value.hour, value.minute, value.second) == (0, 0, 0):
        return f"{value:%Y-%m-%d}"
    return instant(value)


def number(value: float | None) -> str:
    """Return a number with about four significant digits."""
    if value is None:
        return NOTHING
    size = abs(value)
    if float(value).is_integer() or size >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if size >= 100 else f"{value:.2f}" if size >= 1 else f"{value:.3g}"


def counted(number: int, noun: str) -> str:
    """Return how many there are of something: `1 version`, `2,000 versions`."""
    return f"{number:,} {noun if number == 1 else f'{noun}s'}"


def span(value: timedelta | None) -> str:
    """Return a length of time in its largest fitting unit."""
    if value is None:
        return NOTHING
    seconds = abs(value.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(value: int | None) -> str:
    """Return bytes in kB or MB."""
    if value is None:
        return NOTHING
    return f"{value / 1e6:,.2f} MB" if value >= 1e6 else f"{value / 1e3:,.1f} kB" if value >= 1e3 else f"{value} B"


def address(row: models.Model) -> str:
    """Return the admin page of a row; empty where there is none."""
    meta = row._meta
    try:
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    except NoReverseMatch:
        return ""


def listing(kind: type[models.Model], **filters: object) -> str:
    """Return the admin list of a table, filtered."""
    from urllib.parse import urlencode

    path = reverse(f"admin:{kind._meta.app_label}_{kind._meta.model_name}_changelist")
    return f"{path}?{urlencode(filters)}" if filters else path


def link(row: models.Model | None, text: object = None) -> SafeString | str:
    """Return a row as a link to its admin page."""
    if row is None:
        return NOTHING
    return format_html('<a class="pn-link" href="{}">{}</a>', address(row), row if text is None else text)


def joined(*parts: object) -> SafeString:
    """Return parts one after the other, divided by spaces."""
    return format_html_join(" ", "{}", ((part,) for part in parts))


def spread(content: object) -> SafeString:
    """Return a text with room enough to be read in a narrow column."""
    return format_html('<span class="pn-spread">{}</span>', content)


def unbroken(text: str) -> SafeString:
    """Return a short text that stays on one line."""
    return format_html('<span class="pn-unbroken">{}</span>', text)


def tight(content: object) -> SafeString:
    """Return a long name that may break anywhere."""
    return format_html('<span class="pn-tight">{}</span>', content)


def stacked(first: object, second: object) -> SafeString:
    """Return two lines, the second one small."""
    return format_html('<span class="pn-two-lines"><span>{}</span><small>{}</small></span>', first, second)


def linked(text: object, href: str) -> SafeString:
    """Return a text as a link."""
    return format_html('<a class="pn-link" href="{}">{}</a>', href, text)


def code(value: object) -> SafeString | str:
    """Return an id or a digest in fixed width."""
    return format_html('<code class="pn-code">{}</code>', value) if value not in (None, "") else NOTHING


def flag(value: bool | None) -> SafeString | str:
    """Return a switch as icon and word."""
    if value is None:
        return NOTHING
    return format_html(
        '<span class="pn-flag"><span class="material-symbols-outlined">{}</span>{}</span>',
        *(("check", "yes") if value else ("close", "no")),
    )


def shown(value: Any) -> SafeString | str:
    """Return any value of a column as something to read: nested data as nested tables."""
    if value is None or value == "" or value == () or value == []:
        return NOTHING
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return _table(value)
    if isinstance(value, list | tuple):
        return format_html_join("", '<span class="pn-item">{}</span>', ((shown(each),) for each in value))
    return _scalar(value)


def _scalar(value: Any) -> SafeString | str:
    if isinstance(value, bool):
        return flag(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, models.Model):
        return link(value)
    if isinstance(value, UUID):
        return code(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _table(value: Mapping[Any, Any]) -> SafeString | str:
    if not value:
        return NOTHING
    rows = format_html_join("", "<tr><th>{}</th><td>{}</td></tr>", ((key, shown(each)) for key, each in value.items()))
    return format_html('<table class="pn-facts">{}</table>', rows)
