"""`manage.py unhold`: lifts what people held. What a test or an audit holds is lifted by its number alone."""

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
    """Lift holds of versions."""

    help = "Lift the holds that people placed on versions; retention may then let them go."
    action = "unhold"
    done = "no longer held"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        super().add_arguments(parser)
        parser.add_argument("--id", type=int, metavar="HOLD", help="this hold alone, whoever placed it; see holds")

    def carry_out(self, version_ids: Sequence[UUID], options: dict[str, Any]) -> Done:
        """Lift the holds. Raises Refused for a number that is none of theirs, reasons.ReasonMissing."""
        rows = Hold.objects.filter(version__in=version_ids)
        wanted = {"placed_by": Hold.PlacedBy.USER} if options["id"] is None else {"pk": options["id"]}
        found = dict(rows.filter(**wanted).values_list("pk", "version"))
        if options["id"] is not None and not found:
            raise terminal.Refused(f"There is no hold {options['id']} on it. manage.py holds lists them.")
        holding.lift(
            list(found),
            actor=terminal.actor(),
            reason=options["reason"],
            at=timestamps.utc_now(),
            rehearsed=options["dry_run"],
        )
        changed = frozenset(found.values())
        return Done(changed=changed, unchanged=frozenset(version_ids) - changed)
