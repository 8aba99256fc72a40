"""Which installation a database belongs to, for the mark of its stores, and the index of one fleet's due versions."""

import uuid

from django.db import migrations, models

# At once, and not when it is first asked for: a transaction that is undone must not take an id back that a store bears.
IDENTIFY = (
    "INSERT INTO registry_installation (id, is_only, artifact_url, backup_url) VALUES (gen_random_uuid(), true, '', '')"
)


class Migration(migrations.Migration):
    dependencies = [("registry", "0011_tag_permission")]

    operations = [
        migrations.CreateModel(
            name="Installation",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("is_only", models.BooleanField(default=True, editable=False, unique=True)),
                (
                    "artifact_url",
                    models.TextField(blank=True, editable=False, help_text="where the artifact store was last marked"),
                ),
                (
                    "backup_url",
                    models.TextField(blank=True, editable=False, help_text="where the backup store was last marked"),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("is_only", True)), name="installation_is_only_one")
                ],
            },
        ),
        migrations.RunSQL(IDENTIFY, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="modelversion",
            index=models.Index(
                condition=models.Q(("state", "archived")),
                fields=["fleet", "sweep_after", "id"],
                name="version_to_sweep_of_fleet",
            ),
        ),
    ]
