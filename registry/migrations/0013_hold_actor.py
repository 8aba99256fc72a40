"""Who placed a hold, in the row of the hold; for those that stand the ledger says it."""

from django.db import migrations, models

# A hold had no line of its own to point to: its line is the nearest in time of the same version, cause and reason.
NAME = """
UPDATE registry_hold AS h SET actor = coalesce((
    SELECT e.actor FROM registry_event AS e
    WHERE e.to_version_id = h.version_id AND e.kind = 'registry.version.held'
    AND e.cause = h.placed_by AND e.reason = h.reason
    ORDER BY abs(extract(epoch FROM e.at - h.created_at)), e.id DESC LIMIT 1
), '')
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0012_installation")]

    operations = [
        migrations.AddField(
            model_name="hold",
            name="actor",
            field=models.CharField(blank=True, db_default="", default="", max_length=150),
        ),
        migrations.RunSQL(NAME, migrations.RunSQL.noop),
    ]
