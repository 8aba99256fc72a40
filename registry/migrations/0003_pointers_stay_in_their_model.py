"""A pointer of a registered model can only lead to one of its own versions: composite foreign keys."""

from django.db import migrations

UNIQUE = "ALTER TABLE registry_modelversion ADD CONSTRAINT version_of_model UNIQUE (id, registered_model_id)"
POINTERS = ("champion", "challenger", "anchor")


def add(pointer: str) -> str:
    return (
        f"ALTER TABLE registry_registeredmodel ADD CONSTRAINT {pointer}_is_own_version "
        f"FOREIGN KEY ({pointer}_id, id) REFERENCES registry_modelversion (id, registered_model_id) "
        "DEFERRABLE INITIALLY DEFERRED"
    )


def drop(pointer: str) -> str:
    return f"ALTER TABLE registry_registeredmodel DROP CONSTRAINT {pointer}_is_own_version"


class Migration(migrations.Migration):
    dependencies = [("registry", "0002_ledger_is_append_only")]

    operations = [
        migrations.RunSQL(
            [UNIQUE, *map(add, POINTERS)],
            [*map(drop, POINTERS), "ALTER TABLE registry_modelversion DROP CONSTRAINT version_of_model"],
        ),
    ]
