"""Owns how versions come in from elsewhere: looked at within limits, stored, registered as pending; one result each.

Two doors, never mixed: a *registration* is believed by the caller's word, an *import* by the seal of the installation
that made the bundle. Neither executes nor parses a forecaster: that is done by a worker of training, and until it has
read the forecaster the version is pending and cannot be placed. Many are taken in one after the other: what is in
memory at a time is what was sent, and the packed bytes of one object of the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction

from registry import enrolment, errors, lifecycle, rows
from registry.exchange import seals, sifting
from registry.exchange.deliveries import Delivery, Particulars
from registry.exchange.sifting import Sifted
from registry.lifecycle import ArtifactSwept, Registration, Stored, VersionIdTaken, admission
from registry.models import Fleet, ModelVersion, RegisteredModel

_MODELS = "SELECT entity_key, id FROM registry_registeredmodel WHERE fleet_id = %s AND entity_key = ANY(%s)"
_TAKEN = "SELECT id FROM registry_modelversion WHERE id = ANY(%s::uuid[])"
REGISTRATION, IMPORT = admission.REGISTRATION, admission.IMPORT
"""Causes in the ledger."""
# Packed, stored in one call: as many as fill a container, which holds many small artifacts.
STORED_BYTES = 16 * 1024**2


# Where no model was to be made for an entity that has none.
CREATE = "Say ?create=true in the address (on the command line --create) to enrol it."


Found = TypeVar("Found")
Named = TypeVar("Named", "Parcel", Sifted)


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A delivery that was looked at and whose bytes are stored."""

    entity: str
    version_id: UUID
    particulars: Particulars
    trainer: str
    stored: Stored


def receive(
    fleet: Fleet,
    delivered: Sequence[Delivery],
    *,
    actor: str,
    at: datetime,
    create: bool = False,
    reason: str = "",
    cause: str = REGISTRATION,
) -> list[ModelVersion | errors.PerennialError]:
    """Store and register what is delivered; the version, or why not, of each in their order.

    With `create` entities that the fleet does not know are enrolled. Raises StoreUnavailable.
    """
    parcels = store(fleet, delivered)
    return register(fleet, parcels, actor=actor, at=at, create=create, reason=reason, cause=cause)


def store(
    fleet: Fleet, delivered: Iterable[Delivery | errors.PerennialError], *, unpacked_bytes: int | None = None
) -> list[Parcel | errors.PerennialError]:
    """Look at what is delivered and store the bytes of what is sound. Call it outside a transaction.

    An id that is taken is refused before anything is stored for it; what was refused before stays so in its place. With
    `unpacked_bytes` bundles that unpack to more than that together are refused. Raises StoreUnavailable.
    """
    looked = sifting.sift(fleet, delivered, unpacked_bytes=unpacked_bytes)
    return [each for group in _groups(looked) for each in _stored(group)]


def register(
    fleet: Fleet,
    parcels: Sequence[Parcel | errors.PerennialError],
    *,
    actor: str,
    at: datetime,
    create: bool = False,
    reason: str = "",
    cause: str = REGISTRATION,
) -> list[ModelVersion | errors.PerennialError]:
    """Register stored parcels as pending versions, all in one transaction; what is refused leaves the others be."""
    return _twice(partial(_register, fleet, parcels, actor=actor, at=at, create=create, reason=reason, cause=cause))


def register_one(
    model: RegisteredModel, parcel: Parcel, *, shown: rows.Beside, actor: str, at: datetime, cause: str = REGISTRATION
) -> tuple[ModelVersion, tuple[Any, ...] | None]:
    """Register one stored parcel, as `register` does, for a model that was just read; raises why it is refused.

    Returns the version and what `shown` gives of it, as `lifecycle.register_as_read` does.
    """
    return _twice(partial(_register_one, model, parcel, shown=shown, actor=actor, at=at, cause=cause))


def unseal(text: str, content: bytes, *, entity: str, signed_by: str = "", said: Mapping[str, object]) -> Delivery:
    """Return the delivery of a bundle that another installation sealed; it keeps its id. Raises SignatureUnknown."""
    seal = seals.parse(text)
    seals.verify(seal, content, signed_by=signed_by)
    return Delivery(
        entity=entity, bundle=content, said={**said, "version_id": str(seal.version_id), "format": seal.format}
    )


def only(results: Iterable[ModelVersion | errors.PerennialError]) -> ModelVersion:
    """Return the version of a call with one delivery; raises why there is none."""
    [result] = results
    if isinstance(result, errors.PerennialError):
        raise result
    return result


def _twice(work: Callable[[], Found]) -> Found:
    try:
        return work()
    except (VersionIdTaken, ArtifactSwept):
        # Between the look and the insert somebody took one of the ids, or a time ended; by now the look sees it.
        return work()


def _register_one(
    model: RegisteredModel, parcel: Parcel, *, shown: rows.Beside, actor: str, at: datetime, cause: str
) -> tuple[ModelVersion, tuple[Any, ...] | None]:
    [decided] = _without_taken([_fresh(parcel)])
    item = _registration(decided, {parcel.entity: model.pk}) if isinstance(decided, Parcel) else decided
    if isinstance(item, errors.PerennialError):
        raise item
    return lifecycle.register_as_read(item, model, actor=actor, cause=cause, at=at, shown=shown)


def _register(
    fleet: Fleet,
    parcels: Sequence[Parcel | errors.PerennialError],
    *,
    actor: str,
    at: datetime,
    create: bool,
    reason: str,
    cause: str,
) -> list[ModelVersion | errors.PerennialError]:
    # Where no models are made the registration is the only change, and is a transaction by itself.
    with transaction.atomic() if create else nullcontext():
        decided = _without_taken([_fresh(each) for each in parcels])
        owners = _owners(fleet, decided, create=create, actor=actor, cause=cause, at=at)
        wanted = [_registration(each, owners) if isinstance(each, Parcel) else each for each in decided]
        sound = [each for each in wanted if isinstance(each, Registration)]
        made = iter(lifecycle.register(sound, actor=actor, cause=cause, reason=reason, at=at))
        return [next(made) if isinstance(each, Registration) else each for each in wanted]


def _groups(looked: Iterable[Sifted | errors.PerennialError]) -> Iterator[list[Sifted | errors.PerennialError]]:
    group: list[Sifted | errors.PerennialError] = []
    size = 0
    for each in looked:
        group.append(each)
        size += len(each.content) if isinstance(each, Sifted) else 0
        if size >= STORED_BYTES:
            yield group
            group, size = [], 0
    yield group


def _stored(group: Sequence[Sifted | errors.PerennialError]) -> list[Parcel | errors.PerennialError]:
    free = _without_taken(group)
    sound = [each for each in free if isinstance(each, Sifted)]
    places = iter(lifecycle.store_artifacts([each.content for each in sound], format=""))
    return [_parcel(each, next(places)) if isinstance(each, Sifted) else each for each in free]


def _parcel(each: Sifted, place: Stored) -> Parcel:
    return Parcel(
        entity=each.entity,
        version_id=each.version_id,
        particulars=each.particulars,
        trainer=each.format.trainer,
        stored=replace(place, format=each.format.name),
    )


def _owners(
    fleet: Fleet,
    parcels: Sequence[Parcel | errors.PerennialError],
    *,
    create: bool,
    actor: str,
    cause: str,
    at: datetime,
) -> dict[str, int]:
    asked = {each.entity for each in parcels if isinstance(each, Parcel)}
    known: dict[str, int] = dict(rows.found(_MODELS, [fleet.pk, sorted(asked)]))
    if create and (missing := sorted(asked - known.keys())):
        enrolment.enroll(fleet=fleet, entity_keys=missing, actor=actor, at=at, cause=cause)
        known = dict(rows.found(_MODELS, [fleet.pk, sorted(asked)]))
    return known


def _without_taken(
    found: Sequence[Named | errors.PerennialError],
) -> list[Named | errors.PerennialError]:
    # An id that was minted here is nobody's; should it be, the insert refuses it.
    ids = [each.version_id for each in found if not isinstance(each, errors.PerennialError) and _says_its_id(each)]
    taken: set[UUID] = {version_id for (version_id,) in rows.found(_TAKEN, [ids])} if ids else set()
    decided: list[Named | errors.PerennialError] = []
    for each in found:
        if isinstance(each, errors.PerennialError):
            decided.append(each)
            continue
        decided.append(_taken(each.version_id) if each.version_id in taken else each)
        taken.add(each.version_id)
    return decided


def _fresh(each: Parcel | errors.PerennialError) -> Parcel | errors.PerennialError:
    if isinstance(each, errors.PerennialError) or not each.stored.kept.is_over:
        return each
    return ArtifactSwept(
        "It was stored so long before it could be registered that a sweep may have taken it as nobody's.",
        next_step="Send it again.",
    )


def _says_its_id(each: Parcel | Sifted) -> bool:
    return each.particulars.version_id is not None


def _taken(version_id: UUID) -> VersionIdTaken:
    # An id is unique in the whole installation, so that it cannot be had is all that has to be said, and has to be: to
    # another tenant's caller too. The same words for one's own version, another tenant's, one that was deleted and one
    # given twice in a call tell nobody which of these it is; whether a version is one's own, asking for it tells.
    return VersionIdTaken(
        f"The id {version_id} cannot be given to this version: every id is given once, to one version, for good.",
        field="version_id",
        next_step="Ask for the version of that id: where it is yours, use it. Else give a new id, or none.",
    )


def _registration(parcel: Parcel, owners: Mapping[str, int]) -> Registration | errors.PerennialError:
    said, owner = parcel.particulars, owners.get(parcel.entity)
    if owner is None:
        told = f"The fleet has no model for entity {parcel.entity!r}."
        return enrolment.ModelUnknown(told, next_step=CREATE, field="entity")
    return Registration(
        version_id=parcel.version_id,
        registered_model_id=owner,
        stored=parcel.stored,
        trainer=parcel.trainer,
        params=said.params,
        scorecard=said.scorecard,
        data_start=said.data_start,
        train_end=said.train_end,
        fit_end=said.fit_end,
        rows=said.rows,
        features=said.features,
        seed=said.seed,
        library_versions=said.library_versions,
        refitted=said.refitted,
        extra=said.extra,
        note=said.note,
        tags=sorted(set(said.tags)),
        pending=True,
    )
