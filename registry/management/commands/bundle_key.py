"""`manage.py bundle_key`: prints the key with which other installations check the bundles of this one."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from registry import terminal
from registry.exchange import seals


class Command(terminal.Command):
    """Print the pair for PERENNIAL_REGISTRY_FOREIGN_KEYS of another installation."""

    writes = False
    help = "Print the key with which another installation checks the bundles that leave this one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--name", help="how the key is to be called there; default: as here")

    def handle(self, *args: Any, **options: Any) -> None:
        """Only the pair goes to standard output."""
        name, secret = seals.own_key()
        self.stderr.write(
            "Set this pair in PERENNIAL_REGISTRY_FOREIGN_KEYS of the other installation. It signs nothing here, "
            "but whoever has it can seal bundles in the name of this one there."
        )
        self.stdout.write(f"{options['name'] or name}:{secret}")
