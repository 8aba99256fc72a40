"""Owns the first look at what comes from elsewhere: opened or packed within limits, each refused by itself.

Nothing is stored here, executed or parsed beyond what says what it is; forecasters are looked at from the outside.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from registry import bundle, conf, enrolment, errors, identifiers
from registry.bundle import Bundle, examination, formats
from registry.bundle.formats import Format
from registry.exchange import deliveries
from registry.exchange.deliveries import Delivery, Particulars
from registry.lifecycle.registration import MetadataInvalid
from registry.models import Fleet


@dataclass(frozen=True, kw_only=True)
class Sifted:
    """A delivery that was looked at, before its bytes are stored."""

    entity: str
    version_id: UUID
    particulars: Particulars
    format: Format
    content: bytes


def sift(fleet: Fleet, delivered: Sequence[Delivery]) -> list[Sifted | errors.PerennialError]:
    """Return what may be stored, packed, and why the rest may not, in the order of what was delivered."""
    limits = _limits()
    return [_look(fleet, each, limits) for each in delivered]


def _look(fleet: Fleet, delivery: Delivery, limits: bundle.Limits) -> Sifted | errors.PerennialError:
    try:
        return _open(fleet, delivery, limits) if delivery.bundle else _pack(fleet, delivery, limits)
    except errors.PerennialError as error:
        return error


def _open(fleet: Fleet, delivery: Delivery, limits: bundle.Limits) -> Sifted:
    """Look into a packed bundle; what the caller does not say, its own metadata does."""
    if delivery.forecaster or any(name in delivery.said for name in deliveries.CONTENT):
        raise MetadataInvalid("A bundle holds its forecaster, importance and tables itself: send it alone.")
    found = bundle.audit(delivery.bundle, limits=limits)
    format = formats.find(found.format)
    if delivery.said.get("format", format.name) != format.name:
        raise MetadataInvalid(f"The bundle is of format {format.name}, not {delivery.said['format']}.", field="format")
    _examine(found, format, limits)
    particulars = deliveries.read({**deliveries.from_metadata(found.metadata), **delivery.said})
    return _checked(fleet, delivery, particulars, format, delivery.bundle, particulars.version_id)


def _pack(fleet: Fleet, delivery: Delivery, limits: bundle.Limits) -> Sifted:
    """Pack the parts of a version as the retraining does."""
    if not delivery.forecaster:
        raise MetadataInvalid("There is neither a bundle nor a forecaster.", field="forecaster")
    particulars = deliveries.read(delivery.said)
    format = formats.find(particulars.format)
    version_id = particulars.version_id or identifiers.uuid7()
    named = replace(particulars, trainer=particulars.trainer or format.trainer)
    made = Bundle(
        format=format.name,
        forecaster=delivery.forecaster,
        metadata=deliveries.metadata(named, version_id=version_id, fleet=fleet.name, entity=delivery.entity),
        feature_importance=dict(particulars.feature_importance),
        validation=particulars.validation,
        test=particulars.test,
        context=particulars.context,
    )
    _examine(made, format, limits)
    return _checked(fleet, delivery, named, format, bundle.pack(made), version_id)


def _checked(
    fleet: Fleet, delivery: Delivery, particulars: Particulars, format: Format, content: bytes, version_id: UUID | None
) -> Sifted:
    if particulars.trainer not in ("", format.trainer):
        raise MetadataInvalid(
            f"{format.name} is read by the trainer {format.trainer}, not {particulars.trainer}.", field="trainer"
        )
    if fleet.kind not in format.kinds:
        raise MetadataInvalid(
            f"{fleet.name} is a {fleet.kind} fleet; {format.name} serves {' and '.join(sorted(format.kinds))}.",
            field="format",
        )
    enrolment.check(delivery.entity)
    return Sifted(
        entity=delivery.entity,
        version_id=version_id or identifiers.uuid7(),
        particulars=particulars,
        format=format,
        content=content,
    )


def _examine(found: Bundle, format: Format, limits: bundle.Limits) -> None:
    examination.examine(found.forecaster, format=format, max_unpacked_bytes=limits.max_unpacked_bytes)
    weights = found.feature_importance.values()
    # A whole number beyond every float is as useless as an infinity, and no question for `isfinite`.
    if not all(type(weight) in (int, float) and abs(weight) <= sys.float_info.max for weight in weights):
        raise MetadataInvalid("An importance is not a finite number.", field="feature_importance")


def _limits() -> bundle.Limits:
    limits = conf.current()
    return bundle.Limits(
        max_bytes=limits.max_artifact_bytes,
        max_unpacked_bytes=min(limits.max_unpacked_bytes, limits.upload_unpacked_bytes),
        max_ratio=limits.max_unpacked_ratio,
    )
