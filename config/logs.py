"""How log lines look: a readable line on a console, or one JSON object; every line carries its ids as fields."""

from __future__ import annotations

import logging
from typing import Any

import structlog

SHARED = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


API_PREFIX = "/api/"
# Who tries tokens, or asks too often, is somebody to look at; all else that is refused is a caller's mistake.
WORTH_A_LOOK = frozenset({401, 403, 429})


class CallersMistakes(logging.Filter):
    """Makes what the API refuses its callers a line of information, which Django logs as a warning."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is written at the level that it has now."""
        if record.levelno != logging.WARNING or not _is_mistake(record):
            return True
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        return logging.getLogger(record.name).isEnabledFor(logging.INFO)


def _is_mistake(record: logging.LogRecord) -> bool:
    status, request = getattr(record, "status_code", 0), getattr(record, "request", None)
    return 400 <= status < 500 and status not in WORTH_A_LOOK and getattr(request, "path", "").startswith(API_PREFIX)


def renderers(style: str) -> list[Any]:
    """Return the last steps of a line: `json` or `console`."""
    if style == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [
        structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback)
    ]


def logging_config(*, level: str, style: str) -> dict[str, Any]:
    """Return the dictConfig of the whole product; plain stdlib loggers are used everywhere."""
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": SHARED,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers(style)],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"perennial": formatter},
        "filters": {"callers_mistakes": {"()": CallersMistakes}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "perennial"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
            "django.request": {"filters": ["callers_mistakes"], "level": level, "propagate": True},
            # One line for each tick of each sweep would bury everything else.
            "celery.beat": {"level": "WARNING"},
            "django_celery_beat": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "cmdstanpy": {"level": "ERROR"},
            "prophet": {"level": "WARNING"},
            "prophet.plot": {"level": "CRITICAL"},
        },
    }
