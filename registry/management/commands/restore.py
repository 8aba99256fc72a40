"""`manage.py restore`: makes archived versions ready again."""

from registry.management import acting


class Command(acting.Command):
    """Make archived versions ready again, those whose bytes hold."""

    help = "Make archived versions ready again, those whose bytes hold."
    action = "restore"
    done = "ready again"
