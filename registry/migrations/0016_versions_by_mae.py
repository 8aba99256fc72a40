"""Of very many versions the few with a small or large MAE are found by an index."""

import django.db.models.fields.json
import django.db.models.functions.comparison
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0015_rare_rows_of_long_lists"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="modelversion",
            index=models.Index(
                django.db.models.functions.comparison.Cast(
                    django.db.models.fields.json.KeyTextTransform(
                        "mae", django.db.models.fields.json.KeyTransform("metrics", "scorecard")
                    ),
                    models.FloatField(),
                ),
                models.F("fleet"),
                name="version_mae",
            ),
        ),
    ]
