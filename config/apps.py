"""Registers the package as an app without tables, for its commands and checks."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"
