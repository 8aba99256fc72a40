"""Chunks say what their runs take, batches how far they are listed, and the states of a run cost fewer indexes."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0013_hold_actor'),
        ('training', '0004_misfire_limit_is_positive'),
    ]

    operations = [
        # A run changes its state and phase several times; with room on its page a phase touches no index.
        migrations.RunSQL(
            ["ALTER TABLE training_trainingrun SET (fillfactor = 70)"],
            ["ALTER TABLE training_trainingrun RESET (fillfactor)"],
        ),
        migrations.AddField(
            model_name='batch',
            name='counted_at',
            field=models.DateTimeField(help_text='when its runs were last counted', null=True),
        ),
        migrations.AddField(
            model_name='batch',
            name='listed',
            field=models.BooleanField(default=True, help_text='whether each model that it asks for has its run'),
        ),
        migrations.AddField(
            model_name='batch',
            name='listed_to',
            field=models.CharField(blank=True, help_text='until then: the last entity that has one', max_length=128),
        ),
        migrations.AddField(
            model_name='chunk',
            name='ended',
            field=models.PositiveIntegerField(default=0, help_text='runs that a worker has carried out'),
        ),
        migrations.AddField(
            model_name='chunk',
            name='expected_seconds',
            field=models.FloatField(help_text="of work, by what its policy's runs took before", null=True),
        ),
        migrations.AddField(
            model_name='chunk',
            name='policy',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='training.retrainingpolicy'),
        ),
        migrations.AddField(
            model_name='chunk',
            name='seconds',
            field=models.FloatField(default=0.0, help_text='that they took'),
        ),
        migrations.AddField(
            model_name='chunk',
            name='size',
            field=models.PositiveIntegerField(default=0, help_text='runs that it was formed of'),
        ),
        migrations.AlterField(
            model_name='trainingrun',
            name='batch',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='training.batch'),
        ),
        migrations.AlterField(
            model_name='trainingrun',
            name='joined',
            field=models.ForeignKey(db_index=False, help_text='the open run that this request met', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='training.trainingrun'),
        ),
        # Left to itself, Django also drops the constraint of one open run for a model: it takes its index for this one.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    ["DROP INDEX IF EXISTS training_trainingrun_registered_model_id_15077dc5"],
                    [
                        "CREATE INDEX training_trainingrun_registered_model_id_15077dc5"
                        " ON training_trainingrun (registered_model_id)"
                    ],
                )
            ],
            state_operations=[
                migrations.AlterField(
                    model_name='trainingrun',
                    name='registered_model',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='registry.registeredmodel'),
                ),
            ],
        ),
        migrations.AlterField(
            model_name='trainingrun',
            name='version',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='registry.modelversion'),
        ),
        migrations.AddIndex(
            model_name='chunk',
            index=models.Index(fields=['policy', '-id'], name='chunk_of_policy'),
        ),
        migrations.AddIndex(
            model_name='trainingrun',
            index=models.Index(condition=models.Q(('joined__isnull', False)), fields=['joined'], name='run_joined'),
        ),
        migrations.AddIndex(
            model_name='trainingrun',
            index=models.Index(condition=models.Q(('version__isnull', False)), fields=['version'], name='run_of_version'),
        ),
    ]
