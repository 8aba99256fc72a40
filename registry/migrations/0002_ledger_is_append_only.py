"""The database itself refuses to change or delete a line of the ledger."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION registry_event_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'registry_event is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$
"""
TRIGGER = """
CREATE TRIGGER registry_event_append_only BEFORE UPDATE OR DELETE ON registry_event
FOR EACH ROW EXECUTE FUNCTION registry_event_refuse()
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_initial")]

    operations = [
        migrations.RunSQL([REFUSE, TRIGGER], ["DROP FUNCTION registry_event_refuse() CASCADE"]),
    ]
