"""Registers the app with Django, and the formats that its trainers read with the registry; starts nothing."""

from django.apps import AppConfig

from registry.bundle import formats
from training.trainers import table

formats.trust(table.formats())


class TrainingConfig(AppConfig):
    name = "training"
    default_auto_field = "django.db.models.BigAutoField"
