"""`manage.py release`: makes quarantined versions ready again."""

from registry.management import acting


class Command(acting.Command):
    """Make quarantined versions ready again, those whose bytes hold."""

    help = (
        "Make quarantined versions ready again, those whose bytes hold. What came from elsewhere and no trainer has "
        "read yet is pending instead, until one has; what one refused stays."
    )
    action = "release"
    done = "released: ready again, or pending until its trainer has read it"
