"""Every command says whether it writes: one that does waits for the migrations, one that does not changes no row."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import pytest
from django.core.management import BaseCommand, load_command_class
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder

from registry import terminal
from registry.models import Hold
from tests import factories
from tests.config.commands import run

pytestmark = pytest.mark.django_db
APPS = ("config", "monitoring", "registry", "training")
# Django's own with a longer deadline, and the supervisor, which begins with applying the migrations.
OTHERS = {"migrate", "up"}


def commands() -> dict[str, BaseCommand]:
    """Return every command of this product by name."""
    found: dict[str, BaseCommand] = {}
    for app in APPS:
        try:
            folder = import_module(f"{app}.management.commands").__path__
        except ModuleNotFoundError:
            continue
        found |= {each.name: load_command_class(app, each.name) for each in pkgutil.iter_modules(folder)}
    return found


def own() -> dict[str, terminal.Command]:
    return {name: each for name, each in commands().items() if isinstance(each, terminal.Command)}


def test_every_command_declares_whether_it_writes() -> None:
    assert commands().keys() - own().keys() == OTHERS
    assert len(own()) > 25
    undeclared = [name for name, each in own().items() if not isinstance(getattr(each, "writes", None), bool)]
    assert undeclared == []


@pytest.mark.requirement("B07")
def test_no_command_that_writes_runs_while_the_database_is_behind() -> None:
    newest = MigrationRecorder.Migration.objects.filter(app="registry").order_by("-name")[0]
    newest.delete()
    writing = {name: each for name, each in own().items() if each.writes}
    assert len(writing) > 15
    for name, each in writing.items():
        with pytest.raises(terminal.Failed, match=r"1 migrations behind this code.*`manage\.py migrate`") as refused:
            each.execute()
        assert refused.value.returncode == 1, name
    assert run("models", factories.fleet().name).status == 3


def test_a_command_that_does_not_write_works_on_a_database_that_can_only_be_read() -> None:
    model = factories.registered_model(fleet=factories.fleet(name="bakery"), entity_key="bread")
    factories.champion(registered_model=model)
    Hold.objects.create(version=factories.version(registered_model=model), placed_by="user", reason="kept")
    asked = {
        "models": ["bakery"],
        "versions": ["bakery", "bread"],
        "compare": ["bakery", "bread", "1", "2"],
        "history": ["bakery", "--jsonl"],
        "holds": ["bakery"],
        "verify_history": [],
        "status": [],
        "bundle_key": [],
    }
    # The demo starts a whole site, which applies the migrations.
    assert {name for name, each in own().items() if not each.writes} == {*asked, "demo"}
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        statuses = {name: run(name, *args).status for name, args in asked.items()}
        transaction.set_rollback(True)
    assert statuses == dict.fromkeys(asked, 0)
