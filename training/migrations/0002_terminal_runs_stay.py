"""The database itself refuses to change the state of a run that has ended."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION training_run_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'run % has ended as %: a terminal state never changes', OLD.id, OLD.state
        USING ERRCODE = 'restrict_violation';
END
$$
"""
TRIGGER = """
CREATE TRIGGER training_run_terminal BEFORE UPDATE ON training_trainingrun FOR EACH ROW
WHEN (OLD.state IN ('succeeded', 'failed', 'timed_out', 'cancelled', 'skipped', 'superseded')
      AND NEW.state IS DISTINCT FROM OLD.state)
EXECUTE FUNCTION training_run_refuse()
"""


class Migration(migrations.Migration):
    dependencies = [("training", "0001_initial")]

    operations = [
        migrations.RunSQL([REFUSE, TRIGGER], ["DROP FUNCTION training_run_refuse() CASCADE"]),
    ]
