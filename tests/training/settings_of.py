"""Sets one value of an app's conf for a test, beside those already set."""

from __future__ import annotations

from typing import Any


def training(settings: Any, **values: Any) -> None:
    """Change values of the training conf."""
    settings.PERENNIAL_TRAINING = {**settings.PERENNIAL_TRAINING, **values}
