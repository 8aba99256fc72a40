"""`manage.py quarantine`: keeps versions from being loaded and placed, because they are damaged or not trusted."""

from registry.management import acting


class Command(acting.Command):
    """Keep versions from being loaded and placed; release lets them go."""

    help = "Keep versions from being loaded and placed; release lets them go."
    action = "quarantine"
    done = "quarantined"
