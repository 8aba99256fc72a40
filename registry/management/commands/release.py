"""`manage.py release`: makes quarantined versions ready again."""

from registry.management import acting


class Command(acting.Command):
    """Make quarantined versions ready again, those whose bytes hold."""

    help = "Make quarantined versions ready again, those whose bytes hold."
    action = "release"
    done = "ready again"
