"""What becomes of versions that do not serve: hidden, kept from use, given up, and back. Told by `registry.lifecycle`.

Set-based: what is needed is spared, and each that is left has its reason.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from registry import display, reasons
from registry.lifecycle import admission, states
from registry.lifecycle.soundness import Verified, verify_for
from registry.lifecycle.states import Outcome

logger = logging.getLogger(__name__)


def archive(
    version_ids: Sequence[UUID],
    *,
    actor: str,
    reason: str,
    at: datetime,
    cause: str = "manual",
    sweep_after: datetime | None = None,
    spared: tuple[str, ...] = states.ARCHIVE.spared,
) -> Outcome:
    """Hide ready versions from every choice; they can be restored. With `sweep_after` retention lets them go then.

    Spares versions that a pointer of `spared` leads to or a hold keeps.
    """
    wanted = replace(states.ARCHIVE, sweep_after=sweep_after, spared=spared)
    return states.change(wanted, version_ids, actor=actor, cause=cause, reason=reasons.given(reason), at=at)


def restore(
    version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime, verified: Verified | None = None
) -> Outcome:
    """Make archived versions ready again, those whose bytes hold. `registry.holding.restore` also holds them."""
    said, checked = reasons.given(reason), verified or verify_for("restore", version_ids)
    return states.make_ready(states.RESTORE, version_ids, verified=checked, actor=actor, reason=said, at=at)


def forget(
    version_ids: Sequence[UUID],
    *,
    actor: str,
    reason: str,
    at: datetime,
    cause: str = "manual",
    due: bool = False,
    verified: Verified | None = None,
) -> Outcome:
    """Give archived or quarantined versions up for good: row and metadata stay, `registry.retention` sees to the bytes.

    Spares what any pointer leads to or a hold keeps; with `due` also what no sweep waits for, or not yet.
    """
    wanted, said = states.SWEEP if due else states.FORGET, reasons.given(reason)
    return states.change_sound(wanted, version_ids, verified=verified, actor=actor, cause=cause, reason=said, at=at)


def bring_back(version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime) -> Outcome:
    """Make deleted versions archived again, whose bytes `registry.retention.backups` has put back; no sweep awaits."""
    said = reasons.given(reason)
    return states.change(states.BRING_BACK, version_ids, actor=actor, cause="manual", reason=said, at=at)


def quarantine(version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime, cause: str = "manual") -> Outcome:
    """Keep versions from being loaded and placed, because their bytes are damaged or not trusted.

    A champion keeps its pointer, and the last good champion answers for it; a challenger waits no longer.
    """
    said = reasons.given(reason)
    outcome = states.change(states.QUARANTINE, version_ids, actor=actor, cause=cause, reason=said, at=at)
    if outcome.changed:
        logger.error("%s quarantined by %s: %s", display.counted(len(outcome.changed), "version"), actor, said)
    return outcome


def release(
    version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime, verified: Verified | None = None
) -> Outcome:
    """Make quarantined versions ready again, those whose bytes hold (restored from a backup, say).

    What came from elsewhere and no trainer has read yet becomes pending instead; what one refused stays.
    """
    said, checked = reasons.given(reason), verified or verify_for("release", version_ids)
    return states.make_ready(states.RELEASE, version_ids, verified=checked, actor=actor, reason=said, at=at)


def admit(version_ids: Sequence[UUID], *, actor: str, at: datetime) -> Outcome:
    """Make versions from elsewhere ready, whose forecasters a trainer has read."""
    return states.change(states.ADMIT, version_ids, actor=actor, cause=admission.INSPECTION, reason="", at=at)


def turn_away(
    version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime, cause: str = admission.INSPECTION
) -> Outcome:
    """Quarantine pending versions whose forecasters a trainer refused: `release` refuses them for good.

    Under another cause no trainer has read them: `release` lets them wait for one again.
    """
    said = reasons.given(reason)
    return states.change(states.TURN_AWAY, version_ids, actor=actor, cause=cause, reason=said, at=at)
