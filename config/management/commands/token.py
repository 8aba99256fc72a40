"""`manage.py token`: makes an API token and prints it, once. Refuses tenants that its user may not see."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.management import BaseCommand, CommandError

from registry import conf, errors
from registry.models import ApiToken
from registry.permissions import tenants_of
from registry.rest_base import tokens


class Command(BaseCommand):
    """Parse, issue, print."""

    help = "Make a token for the REST API and print it. It is shown once: only its hash is stored."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("user", help="name of the user whose rights it carries")
        parser.add_argument("--label", required=True, help="what it is for")
        parser.add_argument(
            "--scope",
            default="viewer",
            choices=ApiToken.Scope.values,
            help="highest role it may act as; default: viewer",
        )
        parser.add_argument(
            "--tenant", action="append", default=[], help="tenant it may see; repeat it; default: all of the user's"
        )
        parser.add_argument(
            "--days", type=int, default=conf.current().token_days, help="life in days; default: %(default)s"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the token on a line of its own, so that a script can read it."""
        user = _find(options["user"])
        own = tenants_of(user)
        foreign = [tenant for tenant in options["tenant"] if tenant not in own]
        if foreign:
            raise CommandError(f"{options['user']} may not see tenant {foreign[0]}. Add a membership first.")
        try:
            row, text = tokens.issue(
                user=user,
                label=options["label"],
                scope=options["scope"],
                tenants=options["tenant"],
                days=options["days"],
            )
        except errors.Invalid as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stderr.write(
            f"Token {row.label!r}, scope {row.scope}, until {row.expiry:%Y-%m-%d}. Keep it: it is shown once."
        )
        self.stdout.write(text)


def _find(name: str) -> AbstractBaseUser:
    users = get_user_model()
    try:
        return users.objects.get_by_natural_key(name)
    except users.DoesNotExist as error:
        raise CommandError(f"There is no user {name!r}. `manage.py createsuperuser` makes one.") from error
