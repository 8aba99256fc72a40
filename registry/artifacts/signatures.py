"""Owns the signatures of artifacts: for one version, by one key of this installation. Refuses keys it does not know.

A signature covers the version's id, the digest and the format. Making it, checking it and making it anew read no file.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from uuid import UUID

from registry import conf, errors
from registry.models import ModelVersion

# Says what the signature is for, so that no other HMAC made with the same key can pass for one.
_PURPOSE = b"perennial artifact 2"


class SigningKeysInvalid(errors.Unavailable):
    """The installation has no usable signing keys."""

    code = "signing_keys_invalid"
    next_step = "Set PERENNIAL_REGISTRY_SIGNING_KEYS to `id:secret` pairs divided by commas."


class SigningKeyUnknown(errors.Unavailable):
    """A version is signed with a key that is not set here; that is no fault of its bytes."""

    code = "signing_key_unknown"
    next_step = (
        "Add the key to PERENNIAL_REGISTRY_SIGNING_KEYS, behind the present one; `manage.py rotate_keys` says when an "
        "old key may go."
    )


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Who vouches that a version has these bytes: the id of the key, and the HMAC-SHA-256 in hex."""

    key_id: str
    text: str


def keys() -> Mapping[str, str]:
    """Return the secrets by the ids of their keys; the first signs, all verify. Raises SigningKeysInvalid."""
    return _keys(conf.current().signing_keys)


@lru_cache(maxsize=4)
def _keys(text: str) -> Mapping[str, str]:
    pairs = [pair.strip().partition(":") for pair in text.split(",") if pair.strip()]
    if not pairs or not all(key_id and secret for key_id, _, secret in pairs):
        raise SigningKeysInvalid("No signing key is set, or one is not of the form `id:secret`.")
    return MappingProxyType({key_id: secret for key_id, _, secret in pairs})


def sign(version_id: UUID, *, digest: str, format: str) -> Signature:
    """Return the signature of a version's artifact, made with the first key. Raises SigningKeysInvalid."""
    key_id, secret = next(iter(keys().items()))
    return Signature(key_id=key_id, text=_mac(secret, version_id, digest, format))


def holds(version: ModelVersion) -> bool:
    """Whether the signature of a row fits its digest, format and id. Raises SigningKeyUnknown, SigningKeysInvalid."""
    secret = keys().get(version.artifact_key_id)
    if secret is None:
        raise SigningKeyUnknown(
            f"Version {version.number} of {version.registered_model} ({version.pk}) was signed with the key "
            f"{version.artifact_key_id!r}, which is not known here."
        )
    expected = _mac(secret, version.pk, version.artifact_digest, version.artifact_format)
    return hmac.compare_digest(expected.encode(), version.artifact_signature.encode())


def _mac(secret: str, version_id: UUID, digest: str, format: str) -> str:
    # Lengths first, so that no byte can move from one part to the next.
    parts = (_PURPOSE, version_id.bytes, digest.encode(), format.encode())
    signed = b"".join([len(part).to_bytes(8, "big") + part for part in parts])
    return hmac.digest(secret.encode(), signed, "sha256").hex()
