"""A ledger that goes on after a restore into a younger server, and the state of the export folders.

Transaction ids order the ledger for its readers. A younger server counts from a lower id: what it wrote would lie behind
every reader's cursor. Until the offset is set (`manage.py after_restore`) it therefore refuses to write lines.
"""

import django.db.models.deletion
from django.db import migrations, models

OFFSET = "CREATE FUNCTION registry_txid_offset() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 0::bigint'"
REFUSE = """
CREATE FUNCTION registry_event_refuse_past() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    newest bigint;
BEGIN
    SELECT max(txid) INTO newest FROM registry_event;
    -- What can be seen was written by this transaction, or by one below the end of a snapshot taken later.
    IF newest > registry_txid_offset() + greatest(
        pg_current_xact_id()::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    ) THEN
        RAISE EXCEPTION 'the ledger was restored from a server that counted further: run manage.py after_restore'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
END
$$
"""
TRIGGER = """
CREATE TRIGGER registry_event_in_order BEFORE INSERT ON registry_event
FOR EACH STATEMENT EXECUTE FUNCTION registry_event_refuse_past()
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0008_version_search")]

    operations = [
        migrations.RunSQL([OFFSET], ["DROP FUNCTION registry_txid_offset()"]),
        migrations.AlterField(
            "event",
            "txid",
            models.BigIntegerField(
                db_default=models.Func(
                    output_field=models.BigIntegerField(),
                    template="(pg_current_xact_id()::text::bigint + registry_txid_offset())",
                ),
                editable=False,
            ),
        ),
        migrations.RunSQL([REFUSE, TRIGGER], ["DROP FUNCTION registry_event_refuse_past() CASCADE"]),
        migrations.CreateModel(
            name="Export",
            fields=[
                (
                    "registered_model",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="export",
                        serialize=False,
                        to="registry.registeredmodel",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        db_index=False,
                        help_text="that the pointer file names; empty: none",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="registry.modelversion",
                    ),
                ),
                ("moved_at", models.DateTimeField(help_text="when the pointer file last moved", null=True)),
                (
                    "due_at",
                    models.DateTimeField(
                        help_text="when it is looked at again without an event: a failure, or old folders to remove",
                        null=True,
                    ),
                ),
                ("failures", models.PositiveIntegerField(default=0, help_text="in a row")),
                (
                    "code",
                    models.CharField(
                        blank=True, help_text="of the last failure; empty after a success", max_length=64
                    ),
                ),
                ("sentence", models.TextField(blank=True)),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="export_due")
                ],
            },
        ),
    ]
