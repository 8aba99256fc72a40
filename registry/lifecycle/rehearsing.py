"""Owns what an action of many would do: told beforehand, from the state of this moment. Leaves everything as it was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction

from registry.lifecycle import placing, soundness, states
from registry.lifecycle.soundness import Verified
from registry.lifecycle.states import Outcome


def rehearse(action: str, version_ids: Sequence[UUID], *, at: datetime, verified: Verified | None = None) -> Outcome:
    """Return what an action of `states.BY_NAME`, or `promote`, would do to these, and why it would leave others.

    A change of state is carried out and taken back, so that it says what the deed itself would say at this moment.
    """
    checked = verified or soundness.verify_for(action, version_ids)
    if action == "promote":
        planned = placing.forward_many(version_ids, verified=checked, actor="", reason="", at=at, rehearsed=True)
        return Outcome(changed=planned.placed, refused=planned.refused)
    wanted = states.BY_NAME[action]
    needs_sound = wanted in (states.RESTORE, states.RELEASE)
    make = partial(states.make_ready, verified=checked) if needs_sound else partial(states.change, cause="manual")
    with transaction.atomic():
        outcome = make(wanted, version_ids, actor="", reason="", at=at)
        transaction.set_rollback(True)
    return outcome
