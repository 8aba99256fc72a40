"""Migrations say what the tables are: nothing is missing, and none calls into code that will have changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command

from tests.architecture import source

OWN = ("registry", "training", "monitoring")
# Values in columns are described by these; their fields only grow.
DESCRIBED = ("fields", "reports", "gate", "policy_terms", "models", "identifiers")


def migrations() -> list[Path]:
    found = [path for app in OWN for path in (source.ROOT / app / "migrations").glob("[0-9]*.py")]
    return sorted(found)


@pytest.mark.django_db
def test_no_migration_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        call_command("makemigrations", "--check", "--dry-run", *OWN)
    except SystemExit:
        pytest.fail(f"a migration is missing:\n{capsys.readouterr().out}")


def test_every_app_with_tables_has_migrations() -> None:
    with_tables = {app for app in OWN if list(apps.get_app_config(app).get_models())}
    assert with_tables <= {path.parts[-3] for path in migrations()}


def test_no_migration_calls_into_changing_code() -> None:
    found = {
        source.name(path): names
        for path in migrations()
        if (names := [name for name in source.imported(path.read_text()) if calls_into(name)])
    }
    assert found == {}


def calls_into(name: str) -> bool:
    parts = name.split(".")
    return parts[0] in OWN and (len(parts) < 2 or parts[1] not in DESCRIBED)


def test_the_rule_sees_such_an_import() -> None:
    assert calls_into("registry.lifecycle.promote")
    assert not calls_into("registry.fields.TypedJSONField")
