"""`manage.py archive`: hides versions of a model. Spares what a pointer leads to and what is held."""

from registry.management import acting


class Command(acting.Command):
    """Hide versions from every choice; restore brings them back."""

    help = "Hide versions from every choice; restore brings them back."
    action = "archive"
    done = "archived"
