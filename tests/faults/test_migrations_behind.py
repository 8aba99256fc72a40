"""A start on a database that is one migration behind: not ready, nothing claimed, and well again without a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry import migrations
from tests import fleets
from tests.installation import Installation, until

pytestmark = pytest.mark.timeout(240)


def last_two() -> tuple[str, str]:
    """The names of the newest migration of the registry and of the one before it."""
    folder = Path(str(migrations.__file__)).parent
    before, newest = sorted(path.stem for path in folder.glob("0*.py"))[-2:]
    return before, newest


@pytest.mark.requirement("B07")
def test_nothing_is_claimed_until_the_migrations_are_applied(tmp_path: Path) -> None:
    before, newest = last_two()
    web = Installation(folder=tmp_path / "site", arguments=("--only", "web")).start()
    web.admit()
    fleets.apply(web, tmp_path, name="patient", entities=("a",))
    batch = fleets.trigger(web, fleet="patient", reason="asked before the update")
    assert web.stop() == 0
    web.manage("migrate", "registry", before)
    refused = web.manage("retrain", "patient", "--inline", check=False)
    assert (refused.returncode, "1 migrations behind" in refused.stderr) == (1, True), refused.stderr
    site = Installation(folder=web.folder, arguments=("--no-migrate",), token=web.token).start()
    try:
        waiting = "training.dispatch waits: migrations are not applied"
        until(lambda: site.log.count(waiting) >= 3, seconds=30, what="three ticks that wait")
        ready = site.http("GET", "/readyz")
        assert (ready.status, ready.body["checks"]["migrations"]["unapplied"]) == (503, [f"registry.{newest}"])
        claimed = "SELECT count(*) FROM training_chunk WHERE state <> 'queued' OR attempt > 0 OR fence > 0"
        assert site.sql(claimed) == [(0,)]
        pids = {name: site.pid(name) for name in ("web", "control", "training")}
        site.manage("migrate")
        assert site.batch_done(batch, seconds=60) == {"succeeded": 1}
        assert site.http("GET", "/readyz").status == 200
        assert {name: site.pid(name) for name in pids} == pids
    finally:
        assert site.stop() == 0
