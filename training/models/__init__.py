"""The tables of how versions come to be."""

from training.models.forecasts import Forecast
from training.models.policies import RetrainingPolicy
from training.models.sources import Columns, FileOptions, Regressor, Snapshot, Source
from training.models.work import Batch, Chunk, RunLog, TrainingRun
from training.models.workers import Worker

__all__ = [
    "Batch",
    "Chunk",
    "Columns",
    "FileOptions",
    "Forecast",
    "Regressor",
    "RetrainingPolicy",
    "RunLog",
    "Snapshot",
    "Source",
    "TrainingRun",
    "Worker",
]
