"""One index that answers every search by metric, trainer and state in the order of the list, and what a text needs."""

from django.db import migrations, models
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast

METRICS = (
    "mae rmse bias mape smape wape mase rmsse r_squared coverage relative_mae pinball wql winkler stability "
    "direction_accuracy profit_factor sharpe_ratio annual_return total_return win_rate max_drawdown volatility "
    "precision recall f1_score data_completeness"
).split()

# Django compares capitals where case does not matter. Without statistics of them the database takes every part of a key
# for rare, and reads and sorts all versions of a fleet where a text matches all of its entities.
CAPITALS = "CREATE STATISTICS entity_in_capitals ON (upper(entity_key::text)) FROM registry_registeredmodel"


class Migration(migrations.Migration):
    dependencies = [("registry", "0007_version_indexes")]

    operations = [
        migrations.AddIndex(
            "modelversion",
            models.Index(
                models.F("fleet"),
                models.F("created_at").desc(),
                models.F("id").desc(),
                models.F("state"),
                models.F("trainer"),
                *(
                    Cast(KeyTextTransform(name, KeyTransform("metrics", "scorecard")), models.FloatField())
                    for name in METRICS
                ),
                name="version_search",
            ),
        ),
        migrations.RunSQL(CAPITALS, "DROP STATISTICS entity_in_capitals"),
    ]
