"""Owns artifacts: bytes under their SHA-256, signed for one version, verified on the very bytes that are handed out.

The signature covers the digest, the format and the version's id: whoever can write to the store, or move columns from
one row to another, makes a file that is refused. Signing anew (another key) therefore reads no file.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

import registry.store
from registry import conf, errors
from registry.models import ModelVersion

# Says what the signature is for, so that no other HMAC made with the same key can pass for one.
_PURPOSE = b"perennial artifact 2"


class ArtifactMissing(errors.Corrupted):
    """The file of a version is not in the store."""

    code = "artifact_missing"


class ArtifactCorrupted(errors.Corrupted):
    """The file of a version is not what was registered."""

    code = "artifact_corrupted"


class ArtifactTooLarge(errors.Invalid):
    """The artifact is larger than this installation allows."""

    code = "artifact_too_large"
    next_step = "Train a smaller forecaster, or raise PERENNIAL_REGISTRY_MAX_ARTIFACT_BYTES."


class SigningKeysInvalid(errors.Unavailable):
    """The installation has no usable signing keys."""

    code = "signing_keys_invalid"
    next_step = "Set PERENNIAL_REGISTRY_SIGNING_KEYS to `id:secret` pairs divided by commas."


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


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Who vouches that a version has these bytes: the id of the key, and the HMAC-SHA-256 in hex."""

    key_id: str
    text: str


def store(content: bytes, *, format: str) -> Stored:
    """Store one artifact; the same bytes are stored once. Raises ArtifactTooLarge, StoreUnavailable."""
    limits = conf.current()
    _keys(limits.signing_keys)  # before any byte is written that could not be signed
    if len(content) > limits.max_artifact_bytes:
        raise ArtifactTooLarge(f"{len(content)} bytes are more than {limits.max_artifact_bytes} allowed.")
    digest = hashlib.sha256(content).hexdigest()
    registry.store.open_store(limits.artifact_url).put(key_of(digest), content)
    return Stored(digest=digest, size=len(content), format=format)


def sign(version_id: UUID, *, digest: str, format: str) -> Signature:
    """Return the signature of a version's artifact, made with the first key. Raises SigningKeysInvalid."""
    key_id, secret = next(iter(_keys(conf.current().signing_keys).items()))
    return Signature(key_id=key_id, text=_sign(secret, version_id, digest, format))


def load(version: ModelVersion) -> bytes:
    """Return the bytes of a version, verified: size, SHA-256, HMAC.

    Raises ArtifactMissing or ArtifactCorrupted, both naming the version, StoreUnavailable.
    """
    limits = conf.current()
    try:
        content = _read(version, registry.store.open_store(limits.artifact_url), limits.max_artifact_bytes)
    except registry.store.StoreMissing as error:
        raise ArtifactMissing(f"The artifact of {_name(version)} is missing.") from error
    _verify(version, content, _keys(limits.signing_keys))
    return content


def key_of(digest: str) -> str:
    """Return the key under which bytes of this SHA-256 are stored."""
    return f"artifacts/{digest[:2]}/{digest}"


def _read(version: ModelVersion, opened: registry.store.Store, limit: int) -> bytes:
    if version.artifact_size > limit:
        raise ArtifactCorrupted(f"The row of {_name(version)} gives a size of {version.artifact_size} bytes.")
    if version.artifact_container:
        key = key_of(version.artifact_container)
        return opened.get(key, start=version.artifact_offset, length=version.artifact_size)
    # One byte more than there should be shows a file that grew, without reading all of it.
    return opened.get(key_of(version.artifact_digest), length=version.artifact_size + 1)


def _verify(version: ModelVersion, content: bytes, keys: dict[str, str]) -> None:
    secret = keys.get(version.artifact_key_id)
    if len(content) != version.artifact_size:
        raise _corrupted(version, f"its file does not have the {version.artifact_size} bytes registered")
    digest = hashlib.sha256(content).hexdigest()
    if digest != version.artifact_digest:
        raise _corrupted(version, "its SHA-256 is not the one registered")
    if secret is None:
        raise _corrupted(version, f"it was signed with the key {version.artifact_key_id!r}, which is not known here")
    expected = _sign(secret, version.pk, digest, version.artifact_format)
    if not hmac.compare_digest(expected, version.artifact_signature):
        raise _corrupted(version, "its signature is not valid")


def _corrupted(version: ModelVersion, why: str) -> ArtifactCorrupted:
    return ArtifactCorrupted(f"The artifact of {_name(version)} is refused: {why}.")


def _name(version: ModelVersion) -> str:
    return f"version {version.number} of {version.registered_model} ({version.pk})"


def _sign(secret: str, version_id: UUID, digest: str, format: str) -> str:
    mac = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    for part in (_PURPOSE, version_id.bytes, digest.encode(), format.encode()):
        # Lengths first, so that no byte can move from one part to the next.
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.hexdigest()


def _keys(text: str) -> dict[str, str]:
    pairs = [pair.strip().partition(":") for pair in text.split(",") if pair.strip()]
    if not pairs or not all(key_id and secret for key_id, _, secret in pairs):
        raise SigningKeysInvalid("No signing key is set, or one is not of the form `id:secret`.")
    return {key_id: secret for key_id, _, secret in pairs}
