"""Owns the look at every stored artifact: size, digest, signature, one version after the other, on demand.

Refuses to judge while the store does not answer. Changes nothing; what it finds, the caller may quarantine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from registry import artifacts, errors, store
from registry.artifacts import signatures
from registry.lifecycle import admission
from registry.models import Fleet, ModelVersion

BATCH_ROWS = 500
UNREAD = ("params", "scorecard", "features", "library_versions", "tags", "extra", "note")
State = ModelVersion.State
# Of one version; what else is raised concerns all.
_JUDGEMENTS = (errors.Corrupted, artifacts.ArtifactTooLarge, store.StoreKeyInvalid, signatures.SigningKeyUnknown)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One version, its bytes read and verified, or the reason why it is refused."""

    version: ModelVersion
    refused: errors.PerennialError | None = None
    was_unreadable: bool = False
    """Whether a trainer refused its forecaster when it came: sound bytes do not help it."""

    @property
    def is_broken(self) -> bool:
        """Whether its bytes or its signature do not hold, and not only a setting of this installation."""
        return isinstance(self.refused, errors.Corrupted)

    @property
    def can_be_released(self) -> bool:
        """Whether it is quarantined although its bytes hold, such as after they were put back."""
        return self.refused is None and self.version.state == State.QUARANTINED and not self.was_unreadable


def check(*, fleet: Fleet | None = None) -> Iterator[Checked]:
    """Yield every version whose bytes should be there, verified, in the order of their ids and a batch at a time.

    Raises StoreUnavailable, StoreAddressInvalid, SigningKeysInvalid, with which nothing can be judged.
    """
    rows = ModelVersion.objects.select_related("registered_model__fleet").exclude(state=State.DELETED).order_by("pk")
    rows = rows.defer(*UNREAD)
    if fleet is not None:
        rows = rows.filter(fleet=fleet)
    batch = list(rows[:BATCH_ROWS])
    while batch:
        unreadable = admission.refused([each.pk for each in batch if each.state == State.QUARANTINED])
        for version in batch:
            yield Checked(version=version, refused=_refusal(version), was_unreadable=version.pk in unreadable)
        batch = list(rows.filter(pk__gt=batch[-1].pk)[:BATCH_ROWS])


def _refusal(version: ModelVersion) -> errors.PerennialError | None:
    try:
        artifacts.load(version)
    except _JUDGEMENTS as error:
        return error
    return None
