"""`manage.py hold`: keeps versions from retention, archive and delete until the hold is lifted or over."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from registry import holding, terminal, timestamps
from registry.bulk import Done
from registry.management import acting
from registry.models import Hold


class Command(acting.Command):
    """Hold versions."""

    help = "Keep versions from retention, archive and delete until unhold lifts it, or until a time."
    action = "hold"
    done = "held"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        super().add_arguments(parser)
        parser.add_argument("--until", metavar="TIME", help="when it ends by itself; default: when it is lifted")

    def carry_out(self, version_ids: Sequence[UUID], options: dict[str, Any]) -> Done:
        """Place a hold on each. Raises reasons.ReasonMissing, HoldEnded."""
        placed = holding.place(
            version_ids,
            placed_by=Hold.PlacedBy.USER,
            reason=options["reason"],
            until=terminal.instant(options, "until"),
            actor=terminal.actor(),
            at=timestamps.utc_now(),
            rehearsed=options["dry_run"],
        )
        return Done(changed=frozenset(each.version_id for each in placed.holds), refused=placed.refused)
