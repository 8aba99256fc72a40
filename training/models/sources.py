"""Where series come from, and what one reading of them saw."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models
from django.db.models.functions import Now

from registry.fields import TypedJSONField
from registry.models import slug_validator


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """A source of kind `file`: one CSV (also gzip) or Parquet file on a disk that every worker sees."""

    path: str
    format: str = ""
    """`csv` or `parquet`; empty means by the ending of the path."""


@dataclass(frozen=True, kw_only=True)
class Regressor:
    """A column that explains the target; with `known_future` its values are known ahead, as holidays are."""

    name: str
    known_future: bool = False


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column of a source is what."""

    time: str
    target: str
    entity: str = ""
    """Empty: the whole source is one entity, named as the source."""
    features: tuple[str, ...] = ()
    regressors: tuple[Regressor, ...] = ()


class Source(models.Model):
    """Where series come from."""

    class Kind(models.TextChoices):
        FILE = "file"

    class Duplicates(models.TextChoices):
        REFUSE = "refuse"
        FIRST = "first"
        LAST = "last"
        MEAN = "mean"
        SUM = "sum"

    class Gaps(models.TextChoices):
        LEAVE = "leave"
        ZERO = "zero"
        INTERPOLATE = "interpolate"

    tenant = models.CharField(max_length=63, validators=[slug_validator])
    name = models.CharField(max_length=63, validators=[slug_validator])
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.FILE)
    options = TypedJSONField(FileOptions)
    columns = TypedJSONField(Columns)
    time_zone = models.CharField(
        max_length=64, blank=True, help_text="IANA zone of stamps without offset; empty: none declared"
    )
    duplicates = models.CharField(max_length=16, choices=Duplicates, default=Duplicates.REFUSE)
    gaps = models.CharField(max_length=16, choices=Gaps, default=Gaps.LEAVE)
    managed_by = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="source_name_is_unique_in_tenant")]
        ordering = ["tenant", "name"]

    def __str__(self) -> str:
        return f"{self.tenant}/{self.name}"


class Snapshot(models.Model):
    """The rows of one reading, kept by digest, so that a run can be repeated on what it saw."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="snapshots")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the stored Parquet")
    window_start = models.DateTimeField(null=True)
    window_end = models.DateTimeField(null=True)
    rows = models.PositiveBigIntegerField()
    entities = models.PositiveIntegerField()
    location = models.CharField(max_length=255, help_text="key in the store")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "digest"], name="snapshot_is_unique_in_source")]
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.source.name} {self.digest[:12]}"
