"""`manage.py forget`: deletes the bytes of archived or quarantined versions for good, before a sweep would.

Spares what a pointer leads to and what is held; with a backup store set each is copied there first.
"""

from registry.management import acting


class Command(acting.Command):
    """Give versions up; their rows, metrics and history stay."""

    help = (
        "Give archived or quarantined versions up for good: their bytes are deleted, their rows and history stay. "
        "With a backup store they are copied there first, and `bring_back` fetches them; without one nothing does."
    )
    action = "forget"
    done = "deleted; the next hourly sweep removes its file, where nothing else needs it"
