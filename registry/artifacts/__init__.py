"""Owns artifacts: bytes under their SHA-256, signed for one version, verified on the very bytes that are handed out.

Whoever can write to the store, or move columns from one row to another, makes a file that is refused
(`registry.artifacts.signatures`). A store that does not answer, or a key that is not set, is no damage and has
errors of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.db import transaction

import registry.store
from registry import conf, deadlines, errors, ownership, sweep_locks
from registry.artifacts import signatures
from registry.deadlines import Deadline
from registry.models import ModelVersion
from registry.store import Place, ranges

# Below it an artifact shares a container with others of its call; one read of a range is as quick as one of an object.
SMALL_BYTES = 1024**2
# A container stays until the last of its versions is forgotten: larger ones would keep more bytes for nothing.
CONTAINER_BYTES = 16 * 1024**2


class ArtifactMissing(errors.Corrupted):
    """The file of a version is not in the store."""

    code = "artifact_missing"


class ArtifactCorrupted(errors.Corrupted):
    """The file of a version is not what was registered."""

    code = "artifact_corrupted"


class SignatureInvalid(errors.Corrupted):
    """The bytes are those of the row, but nobody who has the key vouches for them in this version."""

    code = "signature_invalid"
    next_step = (
        "If many versions are refused, the secret of a key was changed: set the one that signed. If it is this one "
        "alone, quarantine it and find out who changed its row."
    )


class ArtifactSwept(errors.Conflict):
    """Bytes were stored so long before they were registered that a sweep may have taken them as nobody's."""

    code = "artifact_swept"
    next_step = "Store the artifact again, then register it."


class ArtifactTooLarge(errors.Invalid):
    """The artifact is larger than this installation allows."""

    code = "artifact_too_large"
    next_step = "Train a smaller forecaster, or raise PERENNIAL_REGISTRY_MAX_ARTIFACT_BYTES."


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Where an artifact lies and how it is recognised."""

    digest: str
    """SHA-256 of the bytes, in hex."""
    size: int
    format: str
    container: str = ""
    """Digest of the object that holds it among others; empty where it has an object of its own."""
    offset: int = 0
    kept: Deadline = field(default=deadlines.NEVER, compare=False)
    """Until when its object is too young for a sweep, although no row names it yet."""


def store(contents: Sequence[bytes], *, format: str) -> list[Stored]:
    """Store artifacts durably, in their order; equal ones once, many small ones packed into few containers.

    Outside a transaction: what was there before is kept from a sweep that is at it, and that may wait for the store.
    Raises ArtifactTooLarge (then nothing is stored), StoreUnavailable.
    """
    limits = conf.current()
    signatures.keys()  # before any byte is written that could not be signed
    if largest := max((len(content) for content in contents if len(content) > limits.max_artifact_bytes), default=0):
        raise ArtifactTooLarge(f"{largest} bytes are more than {limits.max_artifact_bytes} allowed.")
    opened = ownership.artifact_store()
    # Half of the time, because the store's clock is another one.
    kept = deadlines.after(limits.orphan_grace_hours * 3600 / 2)
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    places: dict[str, Stored] = {}
    for group in _groups(dict(zip(digests, contents, strict=True))):
        places |= _put(opened, group, format, kept)
    return [places[digest] for digest in digests]


def load(version: ModelVersion) -> bytes:
    """Return the bytes of a version, verified: size, SHA-256, HMAC.

    Raises ArtifactMissing and ArtifactCorrupted where its bytes are damaged, SignatureInvalid and ArtifactTooLarge
    where its row does not allow them, StoreUnavailable and signatures.SigningKeyUnknown where nobody can tell.
    """
    limits = conf.current()
    opened = ownership.artifact_store()
    try:
        content = _read(version, opened, limits.max_artifact_bytes)
    except registry.store.StoreMissing:
        content = _read_again(version, opened, limits.max_artifact_bytes)
    verify(version, content)
    return content


def check_each(versions: Sequence[ModelVersion]) -> Iterator[errors.PerennialError | None]:
    """Yield what `load` would raise for each version, in their order; None where its bytes hold.

    Raises StoreUnavailable, which says nothing of any of them.
    """
    for found in load_each(versions):
        yield None if isinstance(found, bytes) else found


def load_each(versions: Sequence[ModelVersion]) -> Iterator[bytes | errors.PerennialError]:
    """Yield the bytes of each version as `load` returns them, in their order, or what it would raise.

    What lies near each other is read at once, and verified one by one; the bytes in memory are bounded
    (`registry.store.ranges`). Raises StoreUnavailable.
    """
    limit, opened = conf.current().max_artifact_bytes, ownership.artifact_store()
    contents = ranges.read_each(opened, [_place(each) for each in versions if each.artifact_size <= limit])
    for version in versions:
        yield _look(version, contents, opened, limit)


def verify(version: ModelVersion, content: bytes) -> None:
    """Check bytes, also from elsewhere, such as a backup, as those of a version. Raises what `load` raises."""
    if len(content) != version.artifact_size:
        raise ArtifactCorrupted(
            _refusal(version, f"its file does not have the {version.artifact_size} bytes registered")
        )
    if hashlib.sha256(content).hexdigest() != version.artifact_digest:
        raise ArtifactCorrupted(_refusal(version, "its SHA-256 is not the one registered"))
    if not signatures.holds(version):
        raise SignatureInvalid(_refusal(version, "its signature is not valid"))


def refuse_stale(stored: Iterable[Stored]) -> None:
    """Refuse what was stored so long ago that a sweep may have taken it since. Asks no store. Raises ArtifactSwept."""
    if gone := sorted(each.digest for each in stored if each.kept.is_over):
        raise ArtifactSwept(f"{len(gone)} artifacts were stored too long before they were registered: {gone[0]}.")


def key_of(digest: str) -> str:
    """Return the key under which bytes of this SHA-256 are stored."""
    return registry.store.artifact_key(digest)


def _groups(contents: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
    """Yield what goes into one object each."""
    group: dict[str, bytes] = {}
    size = 0
    for digest, content in contents.items():
        if len(content) >= SMALL_BYTES:
            yield {digest: content}
            continue
        if size + len(content) > CONTAINER_BYTES:
            yield group
            group, size = {}, 0
        group[digest] = content
        size += len(content)
    if group:
        yield group


def _put(opened: registry.store.Store, group: dict[str, bytes], format: str, kept: Deadline) -> dict[str, Stored]:
    """Store one object and return where each of its artifacts lies; one alone is an object of its own."""
    data = b"".join(group.values())
    digest = hashlib.sha256(data).hexdigest()
    if not opened.put(key_of(digest), data):
        _keep(opened, key_of(digest), data)
    container = digest if len(group) > 1 else ""
    found: dict[str, Stored] = {}
    offset = 0
    for part, content in group.items():
        found[part] = Stored(
            digest=part, size=len(content), format=format, container=container, offset=offset, kept=kept
        )
        offset += len(content)
    return found


def _keep(opened: registry.store.Store, key: str, data: bytes) -> None:
    """Wait for a sweep that saw the object while it was old, and put back what that took; the next sees it young."""
    with transaction.atomic():
        sweep_locks.share(sweep_locks.ARTIFACTS)
        if not opened.exists(key):
            opened.put(key, data)


def _look(
    version: ModelVersion,
    contents: Iterator[ranges.Found],
    opened: registry.store.Store,
    limit: int,
) -> bytes | errors.PerennialError:
    try:
        _refuse_larger(version, limit)
        content = next(contents)
        if isinstance(content, registry.store.StoreKeyInvalid):
            return content
        if isinstance(content, registry.store.StoreMissing):
            content = _read_again(version, opened, limit)
        verify(version, content)
    except registry.store.StoreUnavailable:
        raise
    except errors.PerennialError as error:
        return error
    return content


def _read(version: ModelVersion, opened: registry.store.Store, limit: int) -> bytes:
    _refuse_larger(version, limit)
    place = _place(version)
    return opened.get(place.key, start=place.start, length=place.length)


def _refuse_larger(version: ModelVersion, limit: int) -> None:
    if version.artifact_size > limit:
        raise ArtifactTooLarge(f"The row of {_name(version)} gives {version.artifact_size} bytes; {limit} are read.")


def _place(version: ModelVersion) -> Place:
    if version.artifact_container:
        key = key_of(version.artifact_container)
        return Place(key=key, start=version.artifact_offset, length=version.artifact_size)
    # One byte more than there should be shows a file that grew, without reading all of it.
    return Place(key=key_of(version.artifact_digest), length=version.artifact_size + 1)


def _read_again(version: ModelVersion, opened: registry.store.Store, limit: int) -> bytes:
    """Look once more, where the row now says: its bytes may have moved to another container since it was read."""
    try:
        version.refresh_from_db(fields=["artifact_container", "artifact_offset"])
        return _read(version, opened, limit)
    except (registry.store.StoreMissing, ModelVersion.DoesNotExist) as error:
        raise ArtifactMissing(f"The artifact of {_name(version)} is missing.") from error


def _refusal(version: ModelVersion, why: str) -> str:
    return f"The artifact of {_name(version)} is refused: {why}."


def _name(version: ModelVersion) -> str:
    return f"version {version.number} of {version.registered_model} ({version.pk})"
