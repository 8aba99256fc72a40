"""Room in the pages for the changes that every promotion makes, and three indexes less: others begin with the same column.

A version is changed when it becomes champion and when it ceases to be; a model with every line of its ledger. Where the
page has room for the new row no index is touched. Only pages that are filled from now on leave it.
"""

import django.db.models.deletion
from django.db import migrations, models

FILLED = """
ALTER TABLE registry_modelversion SET (fillfactor = 50);
ALTER TABLE registry_registeredmodel SET (fillfactor = 50);
"""
FULL = """
ALTER TABLE registry_modelversion RESET (fillfactor);
ALTER TABLE registry_registeredmodel RESET (fillfactor);
"""
# By the names that the first migration gave: the foreign keys stay as they are, and no table is read for it.
DROPPED = {
    "registry_modelversion_registered_model_id_6efb5caa": "registry_modelversion (registered_model_id)",
    "registry_event_registered_model_id_9a7706c9": "registry_event (registered_model_id)",
    "registry_event_fleet_id_98d78315": "registry_event (fleet_id)",
}
DROP = "".join(f'DROP INDEX IF EXISTS "{name}";' for name in DROPPED)
MAKE = "".join(f'CREATE INDEX IF NOT EXISTS "{name}" ON {columns};' for name, columns in DROPPED.items())


class Migration(migrations.Migration):
    dependencies = [("registry", "0013_hold_actor")]

    operations = [
        migrations.RunSQL(FILLED, FULL),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(DROP, MAKE)],
            state_operations=[
                migrations.AlterField(
                    model_name="modelversion",
                    name="registered_model",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="versions",
                        to="registry.registeredmodel",
                    ),
                ),
                migrations.AlterField(
                    model_name="event",
                    name="registered_model",
                    field=models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="registry.registeredmodel",
                    ),
                ),
                migrations.AlterField(
                    model_name="event",
                    name="fleet",
                    field=models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="registry.fleet",
                    ),
                ),
            ],
        ),
    ]
