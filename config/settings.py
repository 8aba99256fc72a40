"""Settings, all from the environment; `.env.example` documents each. Importing this starts and connects nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

import config.env
from config import logs, navigation
from config.schedule import sweeps
from registry.conf import RegistryConf
from training.conf import TrainingConf

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")

PRODUCTION = env.str("PERENNIAL_PROFILE", "local") == "production"
DEBUG = False
STATE_DIR = Path(env.str("PERENNIAL_STATE_DIR", str(BASE_DIR / ".state")))
SECRET_KEY = env.str("PERENNIAL_SECRET_KEY", "")
if not SECRET_KEY:
    if PRODUCTION:
        raise ImproperlyConfigured("PERENNIAL_SECRET_KEY is not set. Set it to at least 50 random characters.")
    from local import keys

    SECRET_KEY = keys.secret_key(STATE_DIR)
ALLOWED_HOSTS = env.list(
    "PERENNIAL_ALLOWED_HOSTS", default=[] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]", "testserver"]
)
CSRF_TRUSTED_ORIGINS = env.list("PERENNIAL_TRUSTED_ORIGINS", default=[])

PERENNIAL_REGISTRY = config.env.overrides(RegistryConf, "PERENNIAL_REGISTRY")
PERENNIAL_TRAINING = config.env.overrides(TrainingConf, "PERENNIAL_TRAINING")
PERENNIAL_REGISTRY.setdefault("artifact_url", (STATE_DIR / "artifacts").resolve().as_uri())
PERENNIAL_REGISTRY.setdefault("export_dir", str((STATE_DIR / "exports").resolve()))
if not PERENNIAL_REGISTRY.get("signing_keys"):
    PERENNIAL_REGISTRY["signing_keys"] = f"local:{SECRET_KEY}"
_registry = RegistryConf(**PERENNIAL_REGISTRY)
_training = TrainingConf(**PERENNIAL_TRAINING)

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "config",
    "monitoring",
    "training",
    "registry",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "registry" / "templates"],  # before Unfold's, one of which it replaces
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def database(role: str) -> dict[str, Any]:
    """Return the connection of one role, `web` or `worker`: every statement and every lock wait has a deadline."""
    seconds = _registry.web_statement_seconds if role == "web" else _registry.worker_statement_seconds
    limits = {
        "statement_timeout": int(seconds * 1000),
        "lock_timeout": int(_registry.lock_timeout_seconds * 1000),
        "idle_in_transaction_session_timeout": 30_000,
    }
    options = " ".join(f"-c {name}={value}" for name, value in limits.items())
    found: dict[str, Any] = env.db_url("DATABASE_URL", default="postgres:///perennial?host=/nonexistent")
    found["ENGINE"] = "config.postgresql"
    # How often a statement of `registry.rows` comes before the server keeps its plan.
    found["OPTIONS"] = {"prepare_threshold": 3, **found.get("OPTIONS", {}), "connect_timeout": 5, "options": options}
    found["CONN_MAX_AGE"] = 60 if role == "web" else 0
    found["CONN_HEALTH_CHECKS"] = True
    return found


if PRODUCTION and not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
    raise ImproperlyConfigured("DATABASE_URL and REDIS_URL must be set when PERENNIAL_PROFILE=production.")
DATABASES = {"default": database(env.str("PERENNIAL_ROLE", "worker"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", "redis://127.0.0.1:6379/0")


def broker(url: str) -> str:
    """Return the Celery form of a redis-py URL: unix sockets are `redis+socket://` there."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    return f"redis+socket://{parts.path}" + (f"?virtual_host={parts.query.removeprefix('db=')}" if parts.query else "")


CELERY_BROKER_URL = broker(REDIS_URL)
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than twice the longest hard limit, or a long fit would be delivered again while it runs.
    "visibility_timeout": 6 * 3600,
    # Without these a half-open connection silences a consumer for good.
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 5,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "global_keyprefix": env.str("PERENNIAL_KEY_PREFIX", "perennial:"),
    "max_retries": 1,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_TASK_ACKS_ON_FAILURE = True
CELERY_TASK_ACKS_ON_TIMEOUT = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0.1}
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_TASK_SOFT_TIME_LIMIT = 30 * 60
CELERY_TASK_TIME_LIMIT = 35 * 60
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = env.int("PERENNIAL_WORKER_STOP_SECONDS", default=60)
# On, every stop of an idle worker would take the whole timeout; nothing is prefetched that it could hand back.
CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE = False
CELERY_WORKER_MAX_TASKS_PER_CHILD = 50
CELERY_WORKER_ETA_TASK_LIMIT = 100
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TIMEZONE = "UTC"
CELERY_ENABLE_UTC = True
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SYNC_EVERY = 1
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
DJANGO_CELERY_BEAT_TZ_AWARE = True
CELERY_BEAT_SCHEDULE = {
    name: {
        "task": sweep.task,
        "schedule": sweep.every,
        # A tick that waited longer than a few periods is worth nothing: the next one does its work.
        "options": {"queue": sweep.queue, "expires": max(4 * sweep.every, 10)},
    }
    for name, sweep in sweeps(_training).items()
}


def queues() -> list[Any]:
    """Return the declared queues; a message for any other is refused."""
    from kombu import Queue

    return [Queue(name) for name in ("control", "export", "maintenance", "interactive", "training", "monitoring")]


CELERY_TASK_QUEUES = queues()

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = "config.formats"
STATIC_URL = "/static/"
# WhiteNoise warns about a folder that collectstatic has not made; locally it serves straight from the packages.
STATIC_ROOT = env.str("PERENNIAL_STATIC_ROOT", str(BASE_DIR / "static_root") if PRODUCTION else "") or None
WHITENOISE_USE_FINDERS = not PRODUCTION
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = PRODUCTION
# Probes come from inside, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("PERENNIAL_BEHIND_PROXY", default=False) else None
)
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024**2

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "registry.rest_base.tokens.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["registry.permissions.RolePermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["registry.rest_base.parsing.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "registry.rest_base.openapi.ProblemSchema",
    "EXCEPTION_HANDLER": "registry.rest_base.problems.problem_handler",
    "DEFAULT_VERSIONING_CLASS": None,
    "NUM_PROXIES": env.int("PERENNIAL_NUM_PROXIES", default=0),
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "COERCE_DECIMAL_TO_STRING": False,
}
KNOX_TOKEN_MODEL = "registry.ApiToken"
# Its migrations would make an unused table of plain tokens beside ours.
MIGRATION_MODULES = {"knox": None}
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer", "TOKEN_PREFIX": "prn_", "TOKEN_TTL": None}
SPECTACULAR_SETTINGS = {
    "TITLE": "Perennial",
    "DESCRIPTION": "The control plane that keeps a fleet of forecasting and regression models fresh.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "ENUM_NAME_OVERRIDES": {
        "FleetKind": "registry.models.Fleet.Kind",
        "RegisteredModelState": "registry.models.RegisteredModel.State",
        "VersionState": "registry.models.ModelVersion.State",
        "RunState": "training.models.TrainingRun.State",
        "RunKind": "training.models.TrainingRun.Kind",
        "BatchState": "training.models.Batch.State",
        "SourceKind": "training.models.Source.Kind",
        "ItemOutcome": [("changed", "changed"), ("unchanged", "unchanged"), ("refused", "refused")],
        "RequestKind": [("retrain", "retrain"), ("evaluate", "evaluate")],
    },
}
UNFOLD: dict[str, Any] = navigation.unfold(production=PRODUCTION)

LOGGING = logs.logging_config(
    level=env.str("PERENNIAL_LOG_LEVEL", "INFO"), style=env.str("PERENNIAL_LOG_FORMAT", "console")
)
