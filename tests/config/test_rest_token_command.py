"""`manage.py token`: prints a token that works, once, and nothing else on standard output."""

from __future__ import annotations

import io

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from registry.models import ApiToken, Fleet
from tests import factories
from tests.rest_client import Caller

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


def token(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("token", *arguments, stdout=out, stderr=err)
    return out.getvalue().strip(), err.getvalue()


def test_the_token_works_and_is_what_was_asked_for() -> None:
    factories.user(role="operator", username="ada", tenants=("acme", "globex"))
    text, said = token("ada", "--label", "nightly", "--scope", "operator", "--tenant", "globex", "--days", "7")
    assert text.startswith("prn_")
    assert "\n" not in text
    assert "shown once" in said
    assert Caller(text).get("fleets").status_code == 200
    row = ApiToken.objects.get()
    assert (row.label, row.scope, row.tenants) == ("nightly", "operator", ["globex"])
    assert (row.expiry - row.created).days in (6, 7)


def test_a_token_expires_even_when_nobody_says_when() -> None:
    factories.user(role="viewer", username="ada")
    token("ada", "--label", "x")
    assert ApiToken.objects.get().expiry is not None
    assert ApiToken.objects.get().scope == "viewer"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("bob", "--label", "x"), "no user 'bob'"),
        (("ada", "--label", "x", "--tenant", "globex"), "may not see tenant globex"),
        (("ada", "--label", "x", "--tenant", "acne"), r"There is no tenant 'acne'\. There are acme, globex, initech\."),
        (("ada", "--label", "x", "--days", "0"), "from 1 to"),
        (("ada", "--label", " "), "1 to 100 characters"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(arguments: tuple[str, ...], words: str) -> None:
    factories.user(role="viewer", username="ada", tenants=("acme",))
    Fleet.objects.create(tenant="globex", name="shop", kind="forecast", frequency="D")
    factories.source(tenant="initech")
    with pytest.raises(CommandError, match=words) as refused:
        token(*arguments)
    assert refused.value.returncode == 2
    assert not ApiToken.objects.exists()


def test_a_superuser_gets_no_token_for_a_tenant_that_nobody_has() -> None:
    get_user_model().objects.create_superuser(username="root", password="x")
    with pytest.raises(CommandError, match="makes the first one"):
        token("root", "--label", "x", "--tenant", "acme")
    Fleet.objects.create(tenant="default", name="shop", kind="forecast", frequency="D")
    with pytest.raises(CommandError, match=r"^There is no tenant 'acme'\. There are default\.$"):
        token("root", "--label", "x", "--tenant", "acme")
    assert token("root", "--label", "x", "--tenant", "default")[0].startswith("prn_")
