"""Defaults and limits of the registry, each with unit and reason; `current()` alone reads Django's settings."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RegistryConf:
    """What a deployment may set, by environment as `PERENNIAL_REGISTRY_<NAME>`."""

    artifact_url: str = ""
    """Where artifacts live: `file:///path`; empty means the folder `artifacts` of the state folder."""
    signing_keys: str = ""
    """`id:secret` pairs divided by commas; the first signs, all verify. Empty: the secret key, as id `local`."""
    max_artifact_bytes: int = 256 * 1024**2
    """A larger artifact is refused before it is parsed: no forecaster of this product comes near it."""
    max_unpacked_bytes: int = 1024**3
    """Unpacked, in memory; four times the packed bound, because forests are stored about that much smaller."""
    max_unpacked_ratio: int = 200
    """Unpacked over packed size; more is a decompression bomb. Forests reach about 20."""
    extra_metadata_bytes: int = 16 * 1024
    """Free metadata of one version, as JSON; more belongs beside the artifact, not in the row."""
    lock_lease_seconds: float = 60.0
    """Lease of a Redis lock; renewed at a third of it."""
    page_size: int = 50
    """Rows on a page of the API when the caller says nothing."""
    page_size_max: int = 200
    """Hard cap on the rows of a page."""
    token_days: int = 90
    """Life of an API token when nothing else is asked for."""
    web_statement_seconds: float = 5.0
    """Longest statement that a web request may run on the database."""
    worker_statement_seconds: float = 60.0
    """Longest statement of a worker or a command."""
    lock_timeout_seconds: float = 3.0
    """Longest wait for a row lock; contention beyond it is a fault to report, not to wait out."""


def current() -> RegistryConf:
    """Return the values in force."""
    from django.conf import settings

    return RegistryConf(**settings.PERENNIAL_REGISTRY)


def redis_url() -> str:
    """Return the address of Redis."""
    from django.conf import settings

    return str(settings.REDIS_URL)


def lock_prefix() -> str:
    """Return what every lock's key begins with, so that installations can share one Redis."""
    from django.conf import settings

    return f"{settings.CELERY_BROKER_TRANSPORT_OPTIONS['global_keyprefix']}lock:"
