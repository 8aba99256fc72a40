"""Owns the seal of a bundle that leaves this installation, and of one that another installation sealed.

A seal names key, version, format and digest, and vouches for them by HMAC. Its secret is derived from the signing key:
whoever is given it to check our bundles can still not sign an artifact of ours.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

from registry import conf, errors
from registry.artifacts import signatures
from registry.models import ModelVersion

_DERIVED_FOR = b"perennial export key 1"
_PURPOSE = b"perennial export 1"


class SignatureUnknown(errors.Invalid):
    """The bundle does not carry the seal of an installation whose key is set here."""

    code = "signature_unknown"
    status = 422
    next_step = (
        "Add the pair that `manage.py bundle_key` of the other installation prints to PERENNIAL_REGISTRY_FOREIGN_KEYS, "
        "or register the bundle as one from elsewhere."
    )


@dataclass(frozen=True, kw_only=True)
class Seal:
    """Which version of which format has bytes of this digest, by whose word."""

    key: str
    version_id: UUID
    format: str
    digest: str
    """SHA-256 in hex."""
    mac: str

    def __str__(self) -> str:
        return f"{self.key}:{self.version_id}:{self.format}:{self.digest}:{self.mac}"


def seal(version: ModelVersion) -> Seal:
    """Return the seal of a version's stored bytes, made with the present key of this installation."""
    key, secret = own_key()
    mac = _mac(secret, key, version.pk, version.artifact_format, version.artifact_digest)
    return Seal(key=key, version_id=version.pk, format=version.artifact_format, digest=version.artifact_digest, mac=mac)


def own_key() -> tuple[str, str]:
    """Return name and secret with which others check what leaves this installation; it signs nothing inside.

    Raises SigningKeysInvalid.
    """
    name, secret = next(iter(signatures.keys().items()))
    return name, hmac.new(secret.encode(), _DERIVED_FOR, hashlib.sha256).hexdigest()


def parse(text: str) -> Seal:
    """Return the seal that a text spells. Raises SignatureUnknown."""
    parts = text.strip().split(":")
    try:
        key, version_id, format, digest, mac = parts
        return Seal(key=key, version_id=UUID(version_id), format=format, digest=digest, mac=mac)
    except ValueError as error:
        raise SignatureUnknown(
            "This is no seal of a bundle.", next_step="Give the header Perennial-Seal of the download, whole."
        ) from error


def verify(given: Seal, content: bytes, *, signed_by: str = "") -> str:
    """Return the name of the foreign key that vouches for the very bytes. Raises SignatureUnknown.

    `signed_by` is the name of the key here; without it the name that the seal gives.
    """
    name = signed_by or given.key
    secret = _pairs(conf.current().foreign_keys).get(name)
    if secret is None:
        raise SignatureUnknown(f"No foreign key {name[:64]!r} is set here.")
    expected = _mac(secret, given.key, given.version_id, given.format, given.digest)
    if not hmac.compare_digest(expected.encode(), given.mac.encode()):
        raise SignatureUnknown(f"The seal was not made with the key that is set here as {name[:64]!r}.")
    if hashlib.sha256(content).hexdigest() != given.digest:
        raise SignatureUnknown(
            "The bundle is not the one that was sealed.",
            next_step="Download it again, and give the seal of that very download.",
        )
    return name


def _mac(secret: str, key: str, version_id: UUID, format: str, digest: str) -> str:
    mac = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    for part in (_PURPOSE, key.encode(), version_id.bytes, format.encode(), digest.encode()):
        # Lengths first, so that no byte can move from one part to the next.
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.hexdigest()


def _pairs(text: str) -> dict[str, str]:
    pairs = [pair.strip().partition(":") for pair in text.split(",") if pair.strip()]
    return {name: secret for name, _, secret in pairs if name and secret}
