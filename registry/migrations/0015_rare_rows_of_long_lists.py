"""What is rare among very many lines of the ledger, and among versions, is found by an index."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0014_cheaper_writes'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['kind', '-id'], name='event_of_kind'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['cause', '-id'], name='event_of_cause'),
        ),
        migrations.AddIndex(
            model_name='modelversion',
            index=models.Index(condition=models.Q(('state', 'ready'), _negated=True), fields=['state', '-created_at', '-id'], name='version_unready_newest'),
        ),
    ]
