"""The settings of the product; each answer tells in its head what it asked of the database."""

from config.settings import *  # noqa: F403
from config.settings import MIDDLEWARE as _OWN

MIDDLEWARE = ["benchmarks.admin.asking.telling", *_OWN]
