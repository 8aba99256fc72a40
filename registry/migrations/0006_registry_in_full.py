"""Columns for searches, retention, fallback and export; what existing rows say in the ledger is written into them."""

import django.db.models.deletion
from django.db import migrations, models

FILL = [
    # Every row is touched once; the time that a statement of a worker may take says nothing here.
    "SET LOCAL statement_timeout = 0",
    """
    UPDATE registry_modelversion AS v SET fleet_id = m.fleet_id
    FROM registry_registeredmodel AS m WHERE m.id = v.registered_model_id
    """,
    """
    UPDATE registry_registeredmodel AS m SET ledger_at = e.at
    FROM registry_event AS e WHERE e.registered_model_id = m.id AND e.count = m.ledger_count
    """,
    """
    UPDATE registry_modelversion AS v SET promoted_at = last.at
    FROM (SELECT to_version_id, max(at) AS at FROM registry_event
          WHERE kind IN ('registry.champion.promoted', 'registry.champion.rolled_back') GROUP BY 1) AS last
    WHERE last.to_version_id = v.id
    """,
    """
    UPDATE registry_modelversion AS v SET served_until = last.at
    FROM (SELECT from_version_id, max(at) AS at FROM registry_event
          WHERE kind IN ('registry.champion.promoted', 'registry.champion.rolled_back') GROUP BY 1) AS last
    WHERE last.from_version_id = v.id
      AND NOT EXISTS (SELECT 1 FROM registry_registeredmodel AS m WHERE m.champion_id = v.id)
    """,
]
# Index builds later in this migration refuse tables with triggers still to fire.
SETTLE = ["SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS ALL DEFERRED"]
OWN_PREVIOUS = """
ALTER TABLE registry_registeredmodel ADD CONSTRAINT previous_champion_is_own_version
FOREIGN KEY (previous_champion_id, id) REFERENCES registry_modelversion (id, registered_model_id)
DEFERRABLE INITIALLY DEFERRED
"""
MODEL_OF_FLEET = "ALTER TABLE registry_registeredmodel ADD CONSTRAINT model_of_fleet UNIQUE (id, fleet_id)"
FLEET_OF_MODEL = """
ALTER TABLE registry_modelversion ADD CONSTRAINT version_is_in_fleet_of_model
FOREIGN KEY (registered_model_id, fleet_id) REFERENCES registry_registeredmodel (id, fleet_id)
DEFERRABLE INITIALLY DEFERRED
"""
ROLLED_BACK = "registry.champion.rolled_back"


def fill_previous_champions(apps, schema_editor):
    """Note for each model who was champion before, without the champions that a roll back undid."""
    events = apps.get_model("registry", "Event").objects.filter(
        kind__in=["registry.champion.promoted", ROLLED_BACK], registered_model__isnull=False
    )
    moves = events.order_by("registered_model", "count").values_list(
        "registered_model", "kind", "from_version", "to_version"
    )
    line, current = [], None
    for model, kind, before, after in moves.iterator(chunk_size=2000):
        if model != current:
            note(apps, current, line)
            line, current = [before], model
        if kind == ROLLED_BACK and after in line:
            line = line[: len(line) - 1 - line[::-1].index(after)]
        line.append(after)
    note(apps, current, line)


def note(apps, model, line):
    if model is not None and len(line) > 1 and line[-2] is not None:
        apps.get_model("registry", "RegisteredModel").objects.filter(pk=model).update(previous_champion=line[-2])


class Migration(migrations.Migration):
    dependencies = [("registry", "0005_pause_fleet")]

    operations = [
        migrations.CreateModel(
            name="Bookmark",
            fields=[
                ("name", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("txid", models.BigIntegerField(default=0)),
                ("event_id", models.BigIntegerField(default=0)),
                ("at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddField("fleet", "export", models.JSONField(default=dict), preserve_default=False),
        migrations.AddField(
            "registeredmodel",
            "previous_champion",
            models.ForeignKey(
                blank=True,
                editable=False,
                help_text="where a roll back goes, and what serves when the champion's file is damaged",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="registry.modelversion",
            ),
        ),
        migrations.AddField(
            "registeredmodel",
            "ledger_at",
            models.DateTimeField(blank=True, editable=False, help_text="time of the newest line", null=True),
        ),
        migrations.AddField(
            "modelversion",
            "fleet",
            models.ForeignKey(
                db_index=False,
                help_text="that of its registered model, for searches",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="registry.fleet",
            ),
        ),
        migrations.AddField(
            "modelversion",
            "sweep_after",
            models.DateTimeField(
                blank=True,
                editable=False,
                help_text="when retention lets an archived version go; empty: never",
                null=True,
            ),
        ),
        migrations.AddField(
            "modelversion",
            "promoted_at",
            models.DateTimeField(blank=True, editable=False, help_text="when it last became champion", null=True),
        ),
        migrations.AddField(
            "modelversion",
            "served_until",
            models.DateTimeField(
                blank=True,
                editable=False,
                help_text="when it last ceased to be champion; empty while it is",
                null=True,
            ),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunPython(fill_previous_champions, migrations.RunPython.noop),
        migrations.RunSQL(SETTLE, migrations.RunSQL.noop),
        migrations.AlterField(
            "modelversion",
            "fleet",
            models.ForeignKey(
                db_index=False,
                help_text="that of its registered model, for searches",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="registry.fleet",
            ),
        ),
        migrations.RunSQL(
            [OWN_PREVIOUS, MODEL_OF_FLEET, FLEET_OF_MODEL],
            [
                "ALTER TABLE registry_modelversion DROP CONSTRAINT version_is_in_fleet_of_model",
                "ALTER TABLE registry_registeredmodel DROP CONSTRAINT model_of_fleet",
                "ALTER TABLE registry_registeredmodel DROP CONSTRAINT previous_champion_is_own_version",
            ],
        ),
    ]
