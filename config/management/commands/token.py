"""`manage.py token`: prints an API token, once. Refuses tenants that nobody has and that its user may not see."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser

from registry import conf, terminal
from registry.models import ApiToken, Fleet, TenantMembership
from registry.permissions import tenants_of
from registry.rest_base import tokens
from training.models import Source


class Command(terminal.Command):
    """Parse, issue, print."""

    writes = True
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
        _check_tenants(user, options["tenant"])
        row, text = tokens.issue(
            user=user,
            label=options["label"],
            scope=options["scope"],
            tenants=options["tenant"],
            days=options["days"],
        )
        self.stderr.write(
            f"Token {row.label!r}, scope {row.scope}, until {row.expiry:%Y-%m-%d}. Keep it: it is shown once."
        )
        self.stdout.write(text)


def _find(name: str) -> AbstractBaseUser:
    users = get_user_model()
    try:
        return users.objects.get_by_natural_key(name)
    except users.DoesNotExist as error:
        raise terminal.Refused(f"There is no user {name!r}. `manage.py createsuperuser` makes one.") from error


def _check_tenants(user: AbstractBaseUser, asked: Sequence[str]) -> None:
    """A misspelt tenant would make a token that sees nothing: a superuser may see also what does not exist."""
    known, own = _tenants() if asked else set(), tenants_of(user)
    for tenant in asked:
        if tenant not in known:
            there = f"There are {', '.join(sorted(known))}." if known else "`manage.py apply FILE` makes the first one."
            raise terminal.Refused(f"There is no tenant {tenant!r}. {there}")
        if tenant not in own:
            raise terminal.Refused(f"{user.get_username()} may not see tenant {tenant}. Add a membership first.")


def _tenants() -> set[str]:
    return {
        name
        for rows in (Fleet.objects, Source.objects, TenantMembership.objects)
        for name in rows.values_list("tenant", flat=True).distinct()
    }
