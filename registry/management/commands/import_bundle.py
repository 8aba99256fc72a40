"""`manage.py import_bundle`: imports a bundle that another installation exported, where its key is set here."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from registry import terminal, timestamps
from registry.exchange import intake
from registry.management import acting
from registry.management.commands.register import tell
from registry.management.sending import read


class Command(terminal.Command):
    """Import a sealed bundle."""

    writes = True
    help = "Import a bundle that another installation sealed; the version keeps its id."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        acting.add_model(parser)
        parser.add_argument("--bundle", type=Path, required=True, metavar="FILE", help="the bundle, byte for byte")
        parser.add_argument("--seal", required=True, help="the header Perennial-Seal of its download")
        parser.add_argument("--signed-by", default="", help="name of the foreign key here, where the seal's differs")
        parser.add_argument("--create", action="store_true", help="enrol the entity where the fleet does not know it")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends 0 imported, 1 where the id is taken, 2 where the seal or the bundle is refused."""
        fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"])
        if not options["create"]:
            terminal.find_model(fleet, options["entity"])
        delivery = intake.unseal(
            options["seal"],
            read(options["bundle"]),
            entity=options["entity"],
            signed_by=options["signed_by"],
            said={},
        )
        found = intake.receive(
            fleet,
            [delivery],
            actor=terminal.actor(),
            at=timestamps.utc_now(),
            create=options["create"],
            cause=intake.IMPORT,
        )
        tell(self, intake.only(found), as_json=options["json"])
