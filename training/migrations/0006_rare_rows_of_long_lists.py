"""What is rare among very many runs and lines is found by an index; one of forecasts that another covers goes."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0014_cheaper_writes'),
        ('training', '0005_full_size_chunks'),
    ]

    operations = [
        # A verdict goes with a state: without it a number of promoted runs would be expected at half of what it is.
        migrations.RunSQL(
            ["CREATE STATISTICS IF NOT EXISTS run_endings (mcv) ON state, verdict FROM training_trainingrun"],
            ["DROP STATISTICS IF EXISTS run_endings"],
        ),
        migrations.AlterField(
            model_name='forecast',
            name='version',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='forecasts', to='registry.modelversion'),
        ),
        migrations.AddIndex(
            model_name='runlog',
            index=models.Index(condition=models.Q(('level', 'info'), _negated=True), fields=['level', '-id'], name='log_of_level'),
        ),
        migrations.AddIndex(
            model_name='trainingrun',
            index=models.Index(condition=models.Q(('verdict__in', ['held', 'failed'])), fields=['verdict', '-id'], name='run_unpromoted'),
        ),
        migrations.AddIndex(
            model_name='trainingrun',
            index=models.Index(condition=models.Q(('kind', 'retrain'), _negated=True), fields=['kind', '-id'], name='run_of_other_kind'),
        ),
    ]
