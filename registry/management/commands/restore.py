"""`manage.py restore`: makes archived versions ready again, and holds them."""

from registry.management import acting


class Command(acting.Command):
    """Make archived versions ready again, those whose bytes hold; the hold keeps retention from marking them again."""

    help = "Make archived versions ready again, those whose bytes hold, and hold them, so that retention leaves them."
    action = "restore"
    done = "ready again, and held"
