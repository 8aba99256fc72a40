"""Defaults and limits of training, each with unit and reason; `current()` alone reads Django's settings."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrainingConf:
    """What a deployment may set, by environment as `PERENNIAL_TRAINING_<NAME>`."""

    enabled: bool = True
    """The switch of the installation: off means that no policy fires; runs asked for by people still run."""
    lease_seconds: float = 60.0
    """A worker that was silent for this long has lost its chunk."""
    heartbeat_seconds: float = 15.0
    """Between two heartbeats of a chunk: a quarter of the lease, so that three may be lost."""
    dispatched_seconds: float = 120.0
    """A message that nobody claimed for this long is published again; the queue may have lost it."""
    dispatch_every_seconds: int = 1
    """Between two ticks of the dispatcher; what a person waits for a run to begin. Beat counts in whole seconds."""
    inspect_every_seconds: int = 2
    """Between two looks for versions from elsewhere that no trainer has read yet; one indexed query when none waits."""
    inspect_seconds: float = 10.0
    """Longest that one such look goes on, so that a request by hand on the same queue does not wait long."""
    inspect_reading_seconds: float = 20.0
    """Longest that one such version is read, its library being loaded; a large forest takes about one."""
    inspect_tries: int = 3
    """Times that reading one may fail for want of time or memory before it is turned away for good."""
    inspect_retry_seconds: float = 60.0
    """Between the first try and the second, twice that to the third: what else filled the machine may be over then."""
    sweep_every_seconds: int = 15
    """Between two sweeps for lost chunks and due slots; lease + sweep stay under the promised 90 s."""
    max_losses: int = 3
    """Workers that a run may take with it, alone in its chunk, before it is quarantined."""
    commit_every_seconds: float = 5.0
    """Longest work of a chunk between two commits; what a killed worker loses at most."""
    chunk_runs: int = 5000
    """Most runs in one chunk: what one lost worker holds up, and one statement writes."""
    chunk_runs_unknown: int = 100
    """Runs in the first chunks of a policy of which nothing is known yet; small, so that soon something is."""
    chunk_seconds: float = 20.0
    """Work of one chunk, as far as durations are known."""
    chunk_longest_seconds: float = 120.0
    """A chunk that takes longer is given back after a commit, and what is left is formed by what it took."""
    slice_runs: int = 1000
    """Most runs that one commit of a worker writes; bounds its memory."""
    list_runs: int = 2000
    """Runs that one transaction writes while a batch is prepared; a request by hand may wait for one such."""
    dispatch_at_once: int = 200
    """Most chunks that one tick of the dispatcher publishes."""
    worker_silent_seconds: float = 60.0
    """A worker not seen for this long counts as gone."""
    niceness: int = 5
    """Of workers that serve no queue on which people wait: where cores are short, those who wait come first."""
    minimum_points_forecast: int = 30
    """Fewer observations are refused: no season and no window can be scored honestly."""
    recommended_points_forecast: int = 90
    """Fewer observations warn."""
    minimum_rows_regression: int = 100
    """Fewer rows are refused: the holdout would have fewer than 20."""
    recommended_rows_regression: int = 1000
    """Fewer rows warn."""
    look_back_days_sensors: int = 7
    """Look-back of a series finer than daily, when its policy says nothing."""
    look_back_days_daily: int = 3 * 365
    """Look-back of a series of daily or coarser frequency, when its policy says nothing: three yearly seasons."""
    look_back_days_min: int = 1
    look_back_days_max: int = 3660
    """Longest look-back that may be asked for, about ten years."""
    snapshot_days: int = 14
    """Days that a snapshot stays after its rows were last read, where no kept version cites it."""
    source_max_bytes: int = 2 * 1024**3
    """A larger source file is refused before it is read."""
    retrain_at: str = "18:30"
    """Local time of the daily retraining that a new policy gets."""
    time_zone: str = "UTC"
    """Zone of a policy that names none."""
    cron_catch_up_days: int = 7
    """A slot older than this is never caught up, whatever the misfire policy says."""
    wait_seconds: float = 60.0
    """Longest that an API call waits for a run when asked not to return at once."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number that is not positive: none of these means anything then."""
        for name, value in vars(self).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value <= 0:
                raise ValueError(f"{name} = {value} must be greater than 0")


def current() -> TrainingConf:
    """Return the values in force."""
    from django.conf import settings

    return TrainingConf(**settings.PERENNIAL_TRAINING)
