"""Owns the look at the very bytes of versions before something is done with them. Reads files, so before transactions.

A transaction that waits for a store is ended by the database, and keeps rows locked meanwhile. So bytes are verified
first, and what is done then compares their digest with the one in the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

from registry import artifacts, deadlines, errors, history
from registry.lifecycle import succession
from registry.models import ModelVersion, RegisteredModel

State = ModelVersion.State
# Clients and proxies give up on a request after 30 s; what is done then would be done behind their back.
VERIFY_SECONDS = 20.0
_NEEDED = {"promote": State.READY, "restore": State.ARCHIVED, "release": State.QUARANTINED}


class VersionChanged(errors.Conflict):
    """The version is not what it was when its bytes were verified."""

    code = "version_changed"
    next_step = "Try again."


class NotVerifiedInTime(errors.Unavailable):
    """Its bytes were not read within the time that a call for many has."""

    code = "not_verified_in_time"
    next_step = "Give the same call again for those that are left, or for fewer at once."


@dataclass(frozen=True, kw_only=True)
class Verified:
    """Whose bytes hold, with their SHA-256, and why those of others do not."""

    digests: Mapping[UUID, str] = field(default_factory=dict)
    refused: Mapping[UUID, errors.PerennialError] = field(default_factory=dict)
    champions: Mapping[UUID, UUID | None] = field(default_factory=dict)
    """By version: the champion of its model then; who promoted another since is not overtaken."""

    def refusal(self, version: ModelVersion) -> errors.PerennialError | None:
        """Return why a version cannot be taken for verified, as its row now reads; None where it can."""
        if error := self.refused.get(version.pk):
            return error
        if self.digests.get(version.pk) != version.artifact_digest:
            return VersionChanged(f"{version} changed while its bytes were verified.")
        return None

    def digest(self, version_id: UUID) -> str:
        """Return the digest that the row must have; one that no row has where the version was not verified."""
        return self.digests.get(version_id, "")


def verify_versions(versions: Iterable[ModelVersion]) -> Verified:
    """Read and verify the bytes of versions, as many as a person waits for; none of them stays in memory.

    Raises StoreUnavailable.
    """
    until = deadlines.after(VERIFY_SECONDS)
    digests: dict[UUID, str] = {}
    refused: dict[UUID, errors.PerennialError] = {}
    champions: dict[UUID, UUID | None] = {}
    remaining = iter(versions)
    while some := list(islice(remaining, history.BATCH_ROWS)):
        found = artifacts.check_each(some)
        for version in some:
            champions[version.pk] = version.registered_model.champion_id
            # The first is verified in any case, so that a call which is repeated comes to its end.
            is_late = until.is_over and (digests or refused)
            error = NotVerifiedInTime(f"{version} was not verified any more.") if is_late else next(found)
            if error is None:
                digests[version.pk] = version.artifact_digest
            else:
                refused[version.pk] = error
    return Verified(digests=digests, refused=refused, champions=champions)


def verify_for(action: str, version_ids: Sequence[UUID]) -> Verified:
    """Verify those of these versions that an action could change; nothing where the action needs no sound bytes."""
    if action not in _NEEDED:
        return Verified()
    rows = ModelVersion.objects.select_related("registered_model__fleet").filter(state=_NEEDED[action])
    return verify_versions(rows.filter(pk__in=version_ids).iterator(chunk_size=history.BATCH_ROWS))


def verify_returns(registered_models: Sequence[RegisteredModel]) -> Verified:
    """Verify the versions to which a roll back of these models would go."""
    back = succession.returns([each.pk for each in registered_models])
    return verify_versions(each.to for each in back.values() if each.to is not None)
