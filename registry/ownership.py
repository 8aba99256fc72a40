"""Owns which stores are this installation's: a mark at the root of each says so, and the database knows the same id.

Refuses to write to, or to conclude anything from, a store that lost its mark, never was this installation's or is
another's: a lost mount, a wrong bucket and a shared one all look like a store in which every file is missing. A store
is marked with the first bytes; one from before there were marks, where it holds what the rows name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from uuid import UUID, uuid4

from django.db.models import QuerySet

from registry import conf, deadlines, errors, rows, store
from registry.deadlines import Deadline
from registry.models import Installation, ModelVersion
from registry.store import GuardedStore, Mark, Store, StoreUnavailable

ARTIFACTS, BACKUP = "artifacts", "backup"
PURPOSES = (ARTIFACTS, BACKUP)
_NAMES = {ARTIFACTS: "artifact store", BACKUP: "backup store"}
_COLUMNS = {ARTIFACTS: "artifact_url", BACKUP: "backup_url"}
_INSTALLATION = "SELECT {columns} FROM registry_installation AS i WHERE i.is_only"
SAMPLE = 20
"""Versions, half of them the newest, half the oldest, whose files are looked for in a store without a mark."""
BELIEVED_SECONDS = 5.0
"""For so long a process does not ask the database again which mark its store has to bear."""
# By address and purpose the mark with which bytes were let in, and until when the database is believed to say the same.
_admitted: dict[tuple[str, str], tuple[Mark, Deadline]] = {}


class StoreForeign(StoreUnavailable):
    """The store says that it is another installation's, or for another purpose."""

    code = "store_foreign"
    next_step = (
        "Check PERENNIAL_REGISTRY_ARTIFACT_URL, PERENNIAL_REGISTRY_BACKUP_URL and DATABASE_URL: every installation "
        "needs stores of its own, and `manage.py store` shows whose they are. If this database was restored from a "
        "dump older than the mark and takes the place of the one that wrote it, the store is its own: manage.py store "
        "--claim, and which store. If it is a copy that goes on beside the original, never claim the original's store: "
        "run manage.py store --separate and set other addresses."
    )


class StoreUnmarked(StoreUnavailable):
    """Nothing says that the store is this installation's, and its files do not speak for it either."""

    code = "store_unmarked"
    next_step = (
        "Check that the folder is mounted, or bucket and prefix. If this is the right place, say so once: "
        "manage.py store --claim, and which store."
    )


class StoresOverlap(StoreUnavailable):
    """The backup store lies within the artifact store, or the other way round."""

    code = "stores_overlap"
    next_step = (
        "Set PERENNIAL_REGISTRY_BACKUP_URL to another disk or bucket: a copy beside the original is lost with it."
    )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a store stands."""

    purpose: str
    url: str
    installation: UUID | None
    """Whose it is; None where nothing says, or where it does not answer."""
    refused: errors.PerennialError | None


def artifact_store() -> Store:
    """Return the store of artifacts and snapshots, which answers with StoreUnavailable while it is not the right one.

    Raises what store.open_store raises.
    """
    return _guarded(ARTIFACTS, conf.current().artifact_url)


def backup_store() -> Store:
    """Return the second store. Raises StoresOverlap and what store.open_store raises."""
    refuse_overlap()
    return _guarded(BACKUP, conf.current().backup_url)


def refuse_overlap() -> None:
    """Raise StoresOverlap where the settings put one store within the other, StoreAddressInvalid where one is none."""
    limits = conf.current()
    if limits.backup_url and store.overlap(limits.artifact_url, limits.backup_url):
        raise StoresOverlap(f"The backup store {limits.backup_url} is no other place than the artifact store.")


def in_use() -> tuple[str, ...]:
    """Return the purposes for which a store is set."""
    return PURPOSES if conf.current().backup_url else (ARTIFACTS,)


def standing(purpose: str) -> Standing:
    """Look at a store and say how it stands; writes nothing."""
    url, found, refused = _url(purpose), None, None
    try:
        if purpose == BACKUP:
            refuse_overlap()
        opened = store.open_store(url)
        found = opened.mark()
        _judge(opened, _mark(purpose), url)
    except errors.PerennialError as error:
        refused = error
    return Standing(purpose=purpose, url=url, installation=found.installation if found else None, refused=refused)


def claim(purpose: str) -> Mark:
    """Mark a store as this installation's, whatever stood there: by the word of a person who knows that it is."""
    url = _url(purpose)
    return _claim(store.open_store(url), _mark(purpose), url, replacing=True)


def separate() -> UUID:
    """Give this database an id of its own and return it: a copy is then refused at the stores of the original.

    Other processes, should any run, hear of it after BELIEVED_SECONDS.
    """
    own = uuid4()
    _installation()
    Installation.objects.update(id=own, artifact_url="", backup_url="")
    _admitted.clear()
    return own


def _url(purpose: str) -> str:
    limits = conf.current()
    return limits.artifact_url if purpose == ARTIFACTS else limits.backup_url


def _guarded(purpose: str, url: str) -> Store:
    opened = store.open_store(url)
    return GuardedStore(
        opened, admit=lambda: _admit(opened, purpose, url), judge=lambda: _judge(opened, _mark(purpose), url)
    )


def _admit(opened: Store, purpose: str, url: str) -> None:
    """Let bytes in, and mark the store where nothing says yet whose it is. Raises StoreUnavailable."""
    mark, believed = _admitted.get((url, purpose), (None, None))
    if believed is not None and not believed.is_over and _bears(opened, mark):
        return
    installation = _installation()
    ours = Mark(installation=installation.pk, purpose=purpose)
    if opened.can_vanish or mark != ours:
        _establish(opened, installation, ours, url)
    _admitted[url, purpose] = ours, deadlines.after(BELIEVED_SECONDS)


def _bears(opened: Store, mark: Mark | None) -> bool:
    # What cannot vanish still bears the mark with which it was found once.
    return not opened.can_vanish or opened.mark() == mark


def _establish(opened: Store, installation: Installation, ours: Mark, url: str) -> None:
    if _judge(opened, ours, url):
        if getattr(installation, _COLUMNS[ours.purpose]) != url:
            # It moved with its mark, or who marked it came no further.
            _note(ours.purpose, url)
    elif (stands := _claim(opened, ours, url, replacing=False)) != ours:
        raise _foreign(stands, ours, url)


def _judge(opened: Store, ours: Mark, url: str) -> bool:
    """Whether the store is marked as ours; False where it is not marked and nothing speaks against it.

    Raises StoreUnavailable.
    """
    found = opened.mark()
    if found is None:
        try:
            _judge_unmarked(opened, ours.purpose, url)
        except StoreUnmarked:
            # Somebody may have marked it, and put the first bytes there, since it was looked at.
            if (found := opened.mark()) is None:
                raise
    if found is not None and found != ours:
        raise _foreign(found, ours, url)
    return found is not None


def _judge_unmarked(opened: Store, purpose: str, url: str) -> None:
    if getattr(_installation(), _COLUMNS[purpose]) == url:
        raise StoreUnmarked(f"{url} was marked as the {_NAMES[purpose]} of this installation, and the mark is gone.")
    expected, is_empty = _expected(purpose), _is_empty(opened)
    # A backup store may be new, or younger than what was deleted first.
    if is_empty and (purpose == BACKUP or not expected):
        return
    if not expected:
        raise StoreUnmarked(f"{url} has no mark, and artifacts of which this database knows nothing.")
    there = sum(opened.find(key) is not None for key in expected)
    if there < (1 if purpose == BACKUP else len(expected) // 2 + 1):
        raise StoreUnmarked(
            f"{url} has no mark of this installation, and {there} of {len(expected)} files that it should hold."
        )


def _expected(purpose: str) -> list[str]:
    """Return keys that the store of this purpose holds, where it is the right one."""
    deleted, broken = ModelVersion.State.DELETED, ModelVersion.State.QUARANTINED
    known = ModelVersion.objects.order_by("created_at", "id")
    if purpose == BACKUP:
        known = known.filter(state=deleted)
        return _keys(each.artifact_digest for each in _ends(known))
    known = known.exclude(state__in=[deleted, broken])
    return _keys(each.artifact_container or each.artifact_digest for each in _ends(known))


def _ends(known: QuerySet[ModelVersion]) -> Iterable[ModelVersion]:
    known = known.only("artifact_container", "artifact_digest")
    return chain(known[: SAMPLE // 2], known.reverse()[: SAMPLE // 2])


def _keys(digests: Iterable[str]) -> list[str]:
    # A row that somebody changed may name what no store takes.
    return [key for digest in dict.fromkeys(digests) if store.KEY.fullmatch(key := store.artifact_key(digest))]


def _is_empty(opened: Store) -> bool:
    return next(iter(opened.entries("artifacts/")), None) is None


def _claim(opened: Store, ours: Mark, url: str, *, replacing: bool) -> Mark:
    stands = opened.claim(ours, replacing=replacing)
    if stands == ours:
        # The mark first: a place that is noted here and has no mark counts as lost.
        _note(ours.purpose, url)
    return stands


def _note(purpose: str, url: str) -> None:
    _installation()
    Installation.objects.update(**{_COLUMNS[purpose]: url})


def _mark(purpose: str) -> Mark:
    return Mark(installation=_installation().pk, purpose=purpose)


def _installation() -> Installation:
    # Asked with every artifact that is stored: planned once, it costs a third of what the same by a queryset does.
    found = rows.found(_INSTALLATION.format(columns=rows.columns(Installation, "i")), [])
    if found:
        return rows.made(Installation, found[0])
    return Installation.objects.get_or_create(is_only=True)[0]


def _foreign(found: Mark, ours: Mark, url: str) -> StoreForeign:
    if found.installation == ours.installation:
        is_for, wanted = _NAMES.get(found.purpose, found.purpose), _NAMES[ours.purpose]
        return StoreForeign(f"{url} is the {is_for} of this installation, not its {wanted}.")
    return StoreForeign(f"{url} belongs to another installation, {found.installation}.")
