"""The migrations fit the tables, and what they add by hand holds and can be taken back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.core.management.commands import migrate
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from registry import holding, lifecycle
from registry.models import Hold, ModelVersion
from tests import factories
from training.models import TrainingRun

TERMINAL = ["succeeded", "failed", "timed_out", "cancelled", "skipped", "superseded"]


@pytest.mark.django_db
def test_no_table_has_changed_without_a_migration() -> None:
    call_command("makemigrations", "registry", "training", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
@pytest.mark.parametrize("state", TERMINAL)
@pytest.mark.parametrize("other", ["queued", "running", "succeeded", "cancelled"])
def test_the_database_refuses_to_change_a_terminal_state(state: str, other: str) -> None:
    run = factories.run(registered_model=factories.registered_model(), state=state)
    if state == other:
        assert TrainingRun.objects.filter(pk=run.pk).update(state=other, percent=100) == 1
        return
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        TrainingRun.objects.filter(pk=run.pk).update(state=other)
    assert TrainingRun.objects.get(pk=run.pk).state == state


@pytest.mark.django_db
def test_an_open_run_may_change_its_state() -> None:
    run = factories.run(registered_model=factories.registered_model())
    for state in ("dispatched", "running", "queued", "running", "succeeded"):
        assert TrainingRun.objects.filter(pk=run.pk).update(state=state) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("roles")
def test_the_right_to_pause_reaches_an_installation_that_has_its_roles_and_people_already() -> None:
    before = [("registry", "0004_roles"), ("training", "0003_roles")]
    try:
        MigrationExecutor(connection).migrate(before)
        assert not Permission.objects.filter(codename="pause_fleet").exists()
        people = {role: factories.user(role=role) for role in ("viewer", "operator", "approver", "admin")}
        bakers = Group.objects.create(name="bakers")
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())
    may = {role for role, user in people.items() if user.has_perm("registry.pause_fleet")}
    assert may == {"operator", "approver", "admin"}
    assert people["operator"].has_perm("training.pause_retrainingpolicy")
    assert not bakers.permissions.exists()


@pytest.mark.django_db(transaction=True)
def test_what_was_added_by_hand_can_be_taken_back_and_put_in_again() -> None:
    def added() -> set[str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
                " UNION SELECT conname FROM pg_constraint WHERE conname LIKE '%%is_own_version'"
            )
            return {name for (name,) in cursor.fetchall()}

    full = {
        "registry_event_append_only",
        "training_run_terminal",
        "champion_is_own_version",
        "challenger_is_own_version",
        "anchor_is_own_version",
    }
    assert full <= added()
    try:
        MigrationExecutor(connection).migrate([("training", "0001_initial"), ("registry", "0001_initial")])
        assert not added() & full
        assert not Group.objects.exists()
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())
    assert full <= added()
    assert {group.name for group in Group.objects.all()} == {"viewer", "operator", "approver", "admin"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("roles")
def test_versions_of_the_release_before_learn_when_they_served_and_what_came_before() -> None:
    model = factories.registered_model()
    first, second, third = (
        factories.champion(registered_model=model, at=factories.NOW + timedelta(days=day)) for day in range(3)
    )
    back = factories.NOW + timedelta(days=3)
    lifecycle.roll_back(registered_model=model, actor="ada", reason="bad", at=back)
    try:
        MigrationExecutor(connection).migrate([("registry", "0005_pause_fleet")])
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())
    model.refresh_from_db()
    assert (model.champion, model.previous_champion, model.ledger_at) == (second, first, back)
    served = {
        version.pk: (version.fleet_id, version.promoted_at, version.served_until)
        for version in ModelVersion.objects.all()
    }
    noon = factories.NOW
    assert served == {
        first.pk: (model.fleet_id, noon, noon + timedelta(days=1)),
        second.pk: (model.fleet_id, back, None),
        third.pk: (model.fleet_id, noon + timedelta(days=2), back),
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("roles")
def test_holds_of_the_release_before_learn_from_the_ledger_who_placed_them() -> None:
    model = factories.registered_model()
    version = factories.version(registered_model=model)
    for actor, at in (("ada", factories.NOW), ("bob", factories.NOW + timedelta(days=7))):
        [hold] = holding.place([version.pk], placed_by="user", reason="Audit.", until=None, actor=actor, at=at).holds
        Hold.objects.filter(pk=hold.pk).update(created_at=at + timedelta(seconds=1))
    Hold.objects.create(version=version, placed_by="user", reason="By a hand in the database.")
    try:
        MigrationExecutor(connection).migrate([("registry", "0012_installation")])
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())
    assert list(Hold.objects.order_by("pk").values_list("actor", flat=True)) == ["ada", "bob", ""]


def timeouts() -> list[str]:
    names = ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout")
    with connection.cursor() as cursor:
        return [str(cursor.execute(f"SHOW {name}").fetchone()[0]) for name in names]


@pytest.mark.django_db
def test_an_index_may_take_longer_to_build_than_a_statement_may_and_a_lock_may_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, seen = timeouts(), []
    monkeypatch.setattr(migrate.Command, "handle", lambda self, *args, **options: seen.append(timeouts()))
    call_command("migrate")
    assert seen == [["0", "0", before[2]]]
    assert timeouts() == before and "0" not in before
