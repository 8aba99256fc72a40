"""A store that goes away and comes back while everything runs: told by itself, in both directions."""

from __future__ import annotations

import pytest

from tests.installation import Installation, until


def store_of(site: Installation) -> str:
    """How readiness sees the artifact store."""
    return str(site.http("GET", "/readyz").body["checks"]["artifact_store"]["status"])


pytestmark = pytest.mark.timeout(360)
FIRST_OF_THE_SCHEDULE = """
SELECT b.state FROM training_batch b JOIN registry_fleet f ON f.id = b.fleet_id
WHERE f.name = 'minutely' AND b.slot IS NOT NULL ORDER BY b.slot LIMIT 1
"""


@pytest.mark.requirement("R23")
def test_a_lost_mount_is_told_by_a_running_installation_and_its_return_too(site: Installation) -> None:
    site.manage("store", "--claim", "artifacts")
    folder = site.folder / "artifacts"
    # A flow looks at the first batch that fires by itself, which would end with the loss.
    until(lambda: site.sql(FIRST_OF_THE_SCHEDULE) == [("done",)], seconds=135, what="the first batch of the schedule")
    until(lambda: store_of(site) == "ok", seconds=60, what="a first look at the store")
    folder.rename(site.folder / "elsewhere")
    try:
        until(lambda: store_of(site) == "degraded", seconds=60, what="the loss to be seen")
        assert "store_unmarked" in site.manage("status").stdout
    finally:
        if folder.exists():
            folder.rename(site.folder / "made-meanwhile")
        (site.folder / "elsewhere").rename(folder)
    until(lambda: store_of(site) == "ok", seconds=60, what="the return to be seen")
    assert "SchedulingError" not in site.log
