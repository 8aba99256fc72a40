"""The look of the admin: name, colours, environment badge, and the sidebar with its counts. Names pages, opens none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

from registry import timestamps

GREEN = {
    "50": "oklch(97.9% .021 166.1)",
    "100": "oklch(95% .052 163.1)",
    "200": "oklch(90.5% .093 164.2)",
    "300": "oklch(84.5% .143 165)",
    "400": "oklch(76.5% .177 163.2)",
    "500": "oklch(69.6% .17 162.5)",
    "600": "oklch(52.7% .154 150.1)",
    "700": "oklch(46.8% .121 152.5)",
    "800": "oklch(43.2% .095 166.9)",
    "900": "oklch(37.8% .077 168.9)",
    "950": "oklch(26.2% .051 172.6)",
}
ACCESS = {"user", "group", "tenantmembership"}  # shown to superusers alone
GROUPS: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...] = (
    (
        "Fleets",
        (
            ("Fleets", "forest", "registry", "fleet"),
            ("Models", "eco", "registry", "registeredmodel"),
            ("Versions", "layers", "registry", "modelversion"),
            ("Forecasts", "insights", "training", "forecast"),
            ("Ledger", "history_edu", "registry", "event"),
            ("Holds", "push_pin", "registry", "hold"),
        ),
    ),
    (
        "Training",
        (
            ("Runs", "autorenew", "training", "trainingrun"),
            ("Batches", "stacks", "training", "batch"),
            ("Policies", "event_repeat", "training", "retrainingpolicy"),
            ("Sources", "database", "training", "source"),
            ("Snapshots", "photo_camera", "training", "snapshot"),
        ),
    ),
    (
        "Operation",
        (
            ("Workers", "memory", "training", "worker"),
            ("Chunks", "view_module", "training", "chunk"),
            ("Ticks", "timer", "registry", "tick"),
        ),
    ),
    (
        "Access",
        (
            ("Users", "person", "auth", "user"),
            ("Groups", "group", "auth", "group"),
            ("Memberships", "badge", "registry", "tenantmembership"),
            ("API tokens", "key", "registry", "apitoken"),
        ),
    ),
)


def unfold(*, production: bool) -> dict[str, Any]:
    """Return Unfold's settings."""
    return {
        "SITE_TITLE": "Perennial",
        "SITE_HEADER": "Perennial",
        "SITE_SYMBOL": "eco",
        "SITE_URL": reverse_lazy("admin:index"),
        "SHOW_HISTORY": False,
        "SHOW_VIEW_ON_SITE": False,
        "ENVIRONMENT": "config.navigation.production_badge" if production else "config.navigation.local_badge",
        "DASHBOARD_CALLBACK": "monitoring.dashboard.context",
        "SITE_FAVICONS": [
            {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("registry/leaf.svg")}
        ],
        "STYLES": [lambda request: static("registry/admin.css")],
        "SCRIPTS": [lambda request: static("registry/admin.js")],
        "COLORS": {"primary": GREEN},
        "COMMAND": {"search_models": ["registry.fleet", "registry.registeredmodel", "training.retrainingpolicy"]},
        "SIDEBAR": {
            "show_search": True,
            "command_search": True,
            "show_all_applications": False,
            "navigation": "config.navigation.sidebar",
        },
    }


def local_badge(request: HttpRequest) -> list[str]:
    """Return the word and the colour that say that this is no production."""
    return ["Local", "info"]


def production_badge(request: HttpRequest) -> list[str]:
    """Return the word and the colour that say that this is production."""
    return ["Production", "danger"]


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar; the dashboard carries a count where something needs attention."""
    # Settings import this module, and tables cannot be imported before settings stand.
    from monitoring import attention

    first: dict[str, Any] = {"title": "Dashboard", "icon": "dashboard", "link": reverse_lazy("admin:index")}
    if attention.find(request, now=timestamps.utc_now()):
        first["badge"] = "monitoring.attention.badge"
    groups = (
        {"title": title, "separator": True, "items": [_entry(*entry) for entry in entries]} for title, entries in GROUPS
    )
    return [{"title": "", "items": [first]}, *groups]


def _entry(title: str, icon: str, app: str, table: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{table}_changelist"),
        "permission": _may_view(app, table),
    }


def _may_view(app: str, table: str) -> Callable[[HttpRequest], bool]:
    def may_view(request: HttpRequest) -> bool:
        if table in ACCESS:
            return bool(request.user.is_superuser)
        return request.user.has_perm(f"{app}.view_{table}")

    return may_view
