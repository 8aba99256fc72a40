"""Registers the package as an app without tables, for its commands and checks."""

import importlib

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        """Let Django know the checks of this installation."""
        importlib.import_module("config.checks")
