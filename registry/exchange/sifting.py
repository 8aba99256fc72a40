"""Owns the first look at what comes from elsewhere: opened or packed within limits, each refused by itself.

Nothing is stored here, executed or parsed beyond what says what it is; forecasters are looked at from the outside. What
was unpacked of one delivery is gone before the next is looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from registry import bundle, enrolment, errors, identifiers, limits
from registry.bundle import Bundle, examination, formats
from registry.bundle.formats import Format
from registry.bundle.tables import Table
from registry.exchange import deliveries
from registry.exchange.deliveries import Delivery, Particulars
from registry.lifecycle.registration import MetadataInvalid
from registry.models import Fleet


class UnpackedTooMuch(errors.Invalid):
    """The versions of one call unpack to more together than one call may take."""

    code = "unpacked_too_much"
    status = 413
    next_step = "Send this one, and those after it, in another call."


@dataclass(frozen=True, kw_only=True)
class Sifted:
    """A delivery that was looked at, before its bytes are stored; of what was said, what becomes the row."""

    entity: str
    version_id: UUID
    particulars: Particulars
    format: Format
    content: bytes


def sift(
    fleet: Fleet, delivered: Iterable[Delivery | errors.PerennialError], *, unpacked_bytes: int | None = None
) -> Iterator[Sifted | errors.PerennialError]:
    """Yield what may be stored, packed, and why the rest may not, in the order of what was delivered.

    With `unpacked_bytes` bundles that unpack to more than that together are refused. What was refused before passes.
    """
    budget = _Budget(unpacked_bytes)
    for each in delivered:
        yield _look(fleet, each, budget) if isinstance(each, Delivery) else each


class _Budget:
    """Bytes that the bundles of one call may still unpack to; None: as many as they like."""

    def __init__(self, left: int | None) -> None:
        self._left = left

    def take(self, packed: bytes) -> None:
        """Take what a bundle says that it unpacks to. Raises UnpackedTooMuch, and BundleInvalid as reading it does."""
        if self._left is None:
            return
        size = bundle.announced(packed, limits=limits.delivered())
        if size > self._left:
            raise UnpackedTooMuch(f"This bundle unpacks to {size} bytes; the call may take {self._left} more.")
        self._left -= size


def _look(fleet: Fleet, delivery: Delivery, budget: _Budget) -> Sifted | errors.PerennialError:
    try:
        return _open(fleet, delivery, budget) if delivery.bundle else _pack(fleet, delivery)
    except errors.PerennialError as error:
        return error


def _open(fleet: Fleet, delivery: Delivery, budget: _Budget) -> Sifted:
    """Look into a packed bundle; what the caller does not say, its own metadata does."""
    if delivery.forecaster or any(name in delivery.said for name in deliveries.CONTENT):
        raise MetadataInvalid("A bundle holds its forecaster, importance and tables itself: send it alone.")
    budget.take(delivery.bundle)
    found = _audited(delivery.bundle)
    format = formats.find(found.format)
    if delivery.said.get("format", format.name) != format.name:
        raise MetadataInvalid(f"The bundle is of format {format.name}, not {delivery.said['format']}.", field="format")
    _examine(found, format)
    particulars = deliveries.read({**deliveries.from_metadata(found.metadata), **delivery.said})
    return _checked(fleet, delivery, particulars, format, delivery.bundle, particulars.version_id)


def _pack(fleet: Fleet, delivery: Delivery) -> Sifted:
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
    _examine(made, format)
    content = bundle.pack(made)
    # What parts are packed to is held to the same bounds, so that it can be read again.
    _audited(content)
    return _checked(fleet, delivery, named, format, content, version_id)


def _audited(content: bytes) -> Bundle:
    return bundle.audit(content, limits=limits.delivered(), bounds=limits.tables())


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
        # The predictions are in the content: thousands of them would lie in memory until the last is looked at.
        particulars=replace(particulars, feature_importance={}, validation=Table(), test=Table(), context=Table()),
        format=format,
        content=content,
    )


def _examine(found: Bundle, format: Format) -> None:
    examination.examine(found.forecaster, format=format, limits=limits.delivered())
    weights = found.feature_importance.values()
    # A whole number beyond every float is as useless as an infinity, and no question for `isfinite`.
    if not all(type(weight) in (int, float) and abs(weight) <= sys.float_info.max for weight in weights):
        raise MetadataInvalid("An importance is not a finite number.", field="feature_importance")
