"""The settings of the product, with one more address: the bare view that its reads are compared with."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.registry.urls"
