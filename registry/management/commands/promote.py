"""`manage.py promote`: makes a version champion at once, without a gate and without a worker."""

from argparse import ArgumentParser

from registry.management import acting


class Command(acting.Command):
    """Make a version champion by hand."""

    help = "Make a version champion at once, without a gate; the ledger keeps who and why."
    action = "promote"
    done = "champion"

    def add_versions(self, parser: ArgumentParser) -> None:
        """Declare the one version."""
        parser.add_argument("version", help="number, label, id, challenger or latest")
