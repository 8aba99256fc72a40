"""Bearer tokens: stored hashed, scoped, expiring, shown once. A refused token changes nothing in the database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from hmac import compare_digest
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Q
from knox import auth, crypto
from knox.settings import CONSTANTS
from rest_framework import exceptions

from registry import errors, rows, timestamps
from registry.models import ApiToken, Standing

USED_EVERY = timedelta(minutes=1)  # a write for every request would make the token's row the busiest of all
TOKEN = re.compile(rb"[\x21-\x7e]{16,200}")
MAX_DAYS = 3660
# The token, its user, and what both may do: every request begins with it.
_WITH_USER = """
SELECT {token}, {user},
  ARRAY(SELECT g.name::text FROM auth_group AS g JOIN auth_user_groups AS ug ON ug.group_id = g.id
        WHERE ug.user_id = u.id),
  ARRAY(SELECT m.tenant::text FROM registry_tenantmembership AS m WHERE m.user_id = u.id)
FROM registry_apitoken AS t JOIN {users} AS u ON u.id = t.user_id WHERE t.token_key = %s
"""


class TokenInvalid(exceptions.AuthenticationFailed):
    """No such token."""

    default_detail = "The token is not valid."
    default_code = "token_invalid"


class TokenExpired(exceptions.AuthenticationFailed):
    """The token was valid once."""

    default_detail = "The token has expired."
    default_code = "token_expired"


class TokenAuthentication(auth.TokenAuthentication):  # type: ignore[misc]  # knox has no types
    """Knox tokens, without its habit of deleting rows while it reads them."""

    def authenticate_credentials(self, token: bytes) -> tuple[AbstractBaseUser, ApiToken]:
        """Return the user and the token. Raises TokenInvalid, TokenExpired."""
        if not TOKEN.fullmatch(token):
            raise TokenInvalid
        found = _find(token.decode("ascii"))
        now = timestamps.utc_now()
        if found is None or not found.user.is_active:
            raise TokenInvalid
        if found.expiry is not None and found.expiry <= now:
            raise TokenExpired
        _note_use(found, now)
        return found.user, found


def _find(text: str) -> ApiToken | None:
    digest = crypto.hash_token(text)
    candidates = [_token(row) for row in rows.found(_statement(), [text[: CONSTANTS.TOKEN_KEY_LENGTH]])]
    return next((each for each in candidates if compare_digest(digest, each.digest)), None)


@cache
def _statement() -> str:
    users = get_user_model()
    return _WITH_USER.format(
        token=rows.columns(ApiToken, "t"), user=rows.columns(users, "u"), users=users._meta.db_table
    )


def _token(row: Sequence[Any]) -> ApiToken:
    *columns, groups, tenants = row
    token = rows.made(ApiToken, columns[: rows.width(ApiToken)])
    token.user = rows.made(get_user_model(), columns[rows.width(ApiToken) :])
    token.standing = Standing(groups=tuple(groups), tenants=frozenset(tenants))
    return token


def _note_use(token: ApiToken, now: datetime) -> None:
    stale = now - USED_EVERY
    if token.last_used_at is None or token.last_used_at < stale:
        unused = Q(last_used_at=None) | Q(last_used_at__lt=stale)
        ApiToken.objects.filter(unused, pk=token.pk).update(last_used_at=now)


def issue(*, user: AbstractBaseUser, label: str, scope: str, tenants: Sequence[str], days: int) -> tuple[ApiToken, str]:
    """Make a token and return its row and its text, which nothing can show again. Raises Invalid."""
    if scope not in ApiToken.Scope.values:
        raise errors.Invalid(f"{scope!r} is not a scope. Known are: {', '.join(ApiToken.Scope.values)}.", field="scope")
    if not 1 <= days <= MAX_DAYS:
        raise errors.Invalid(f"A token lives from 1 to {MAX_DAYS} days, not {days}.", field="days")
    if not label.strip() or len(label) > 100:
        raise errors.Invalid("A label has 1 to 100 characters.", field="label")
    made: tuple[ApiToken, str] = ApiToken.objects.create(
        user, expiry=timedelta(days=days), label=label.strip(), scope=scope, tenants=sorted(set(tenants))
    )
    return made
