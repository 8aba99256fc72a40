"""The registry's admin. MODEL_PANELS, MODEL_ACTIONS and the like are open lists, which upper apps extend."""

from registry.admin import access, fleets, holds, ledger, registered_models, versions
from registry.admin.extensions import (
    FLEET_ACTIONS,
    FLEET_PANELS,
    MODEL_ACTIONS,
    MODEL_COLUMNS,
    MODEL_PANELS,
    VERSION_PANELS,
)

__all__ = [
    "FLEET_ACTIONS",
    "FLEET_PANELS",
    "MODEL_ACTIONS",
    "MODEL_COLUMNS",
    "MODEL_PANELS",
    "VERSION_PANELS",
    "access",
    "fleets",
    "holds",
    "ledger",
    "registered_models",
    "versions",
]
