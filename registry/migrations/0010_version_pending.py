"""An index of the versions from elsewhere that no trainer has read yet; every worker asks for them every few seconds."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0009_restored_ledgers_and_exports")]

    operations = [
        migrations.AddIndex(
            "modelversion",
            models.Index(fields=["created_at", "id"], condition=models.Q(state="pending"), name="version_pending"),
        ),
    ]
