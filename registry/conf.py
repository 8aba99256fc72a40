"""Defaults and limits of the registry, each with unit and reason; `current()` alone reads Django's settings."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# A file may be that young only because its row is still to come, so an hour is the least that an orphan has to be old.
LEAST = {
    "keep_versions": 0,
    "keep_champions": 0,
    "younger_than_days": 0,
    "served_within_days": 0,
    "grace_days": 0,
    "orphan_grace_hours": 1,
}


@dataclass(frozen=True, kw_only=True)
class RegistryConf:
    """What a deployment may set, by environment as `PERENNIAL_REGISTRY_<NAME>`."""

    artifact_url: str = ""
    """Where artifacts live: `file:///path` or `s3://bucket/prefix`; empty: `artifacts` in the state folder."""
    store_endpoint: str = ""
    """Address of an S3 server that is not Amazon's, such as https://minio.example.com; keys and region: AWS_*."""
    store_seconds: float = 60.0
    """Longest request to an object store; a whole container or artifact goes in one."""
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
    foreign_keys: str = ""
    """`name:secret` pairs divided by commas, as `manage.py bundle_key` prints them elsewhere: those can be imported."""
    upload_unpacked_bytes: int = 256 * 1024**2
    """Unpacked, of a bundle from elsewhere, in memory; a bomb is refused by what its header says."""
    table_columns: int = 1000
    """Of one table of predictions from elsewhere; those of this product have about ten."""
    table_rows: int = 1_000_000
    """Of the same; two years of minutes. Predictions are never cut: more are refused, and told so."""
    table_cells: int = 5_000_000
    """Of the same; looking at them takes the web process a second or two."""
    table_row_characters: int = 64 * 1024
    """Of one row of the same; a row is in memory while it is looked at."""
    bulk_items: int = 5000
    """Versions or models of one bulk call; one lock statement and one transaction stay short with it."""
    bulk_body_bytes: int = 64 * 1024**2
    """Body of one call that registers many versions; it is in memory while it is read."""
    bulk_unpacked_bytes: int = 512 * 1024**2
    """Unpacked, of all versions of such a call together: some ten times its body, looked at in well under a minute."""
    recipe_bytes: int = 64 * 1024
    """Parameters and library versions of one version, as JSON: lists show them, so they have to stay small."""
    lock_lease_seconds: float = 60.0
    """Lease of a Redis lock; renewed at a third of it."""
    retention_enabled: bool = True
    """Whether the periodic sweeps mark and delete versions; pruning by hand works in any case."""
    keep_versions: int = 5
    """Newest ready versions of a model that stay where its fleet says nothing: enough to go back a working week."""
    keep_champions: int = 3
    """Last ready versions that were champion, the present one counted, that stay: rolling back twice stays possible."""
    younger_than_days: int = 0
    """Younger versions stay where the fleet says nothing; 0: age alone keeps none."""
    served_within_days: int = 0
    """What served less than this many days ago stays where the fleet says nothing; 0: only by pointer and number."""
    grace_days: int = 7
    """Days between mark and sweep where the fleet says nothing: a weekend and a week to notice what is missing."""
    orphan_grace_hours: int = 24
    """Age below which a file that no row names is left alone: bytes come first, the row may still follow."""
    backup_url: str = ""
    """A second store to which swept versions are copied, and where they are verified, first; empty: none."""
    export_dir: str = ""
    """Folder below which versions are exported; empty: the folder `exports` of the state folder."""
    export_seconds: float = 2.0
    """Longest work of one sweep of the exports; the next begins five seconds after it did."""
    export_grace_seconds: int = 600
    """Age of the pointer file before folders that it does not need go: readers finish what they began."""
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

    def __post_init__(self) -> None:
        """Raise ValueError for a negative number of versions, days or hours to keep something."""
        for name, least in LEAST.items():
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name} = {value} must be at least {least}")


def current() -> RegistryConf:
    """Return the values in force."""
    from django.conf import settings

    return _made(tuple(settings.PERENNIAL_REGISTRY.items()))


@lru_cache(maxsize=4)
def _made(given: tuple[tuple[str, Any], ...]) -> RegistryConf:
    # Asked a dozen times in a request; made anew only where a value is another.
    return RegistryConf(**dict(given))


def redis_url() -> str:
    """Return the address of Redis."""
    from django.conf import settings

    return str(settings.REDIS_URL)


def lock_prefix() -> str:
    """Return what every lock's key begins with, so that installations can share one Redis."""
    from django.conf import settings

    return f"{settings.CELERY_BROKER_TRANSPORT_OPTIONS['global_keyprefix']}lock:"
