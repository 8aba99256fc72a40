"""Files follow the registry with real processes: promoted over HTTP, the pointer file names it within ten seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import fleets
from tests.installation import Installation, until
from tests.registry import exporting

pytestmark = pytest.mark.timeout(240)


@pytest.mark.requirement("R07", "R08", "R14")
def test_the_pointer_file_follows_a_promotion_and_a_roll_back_within_ten_seconds(
    site: Installation, tmp_path: Path
) -> None:
    data = fleets.apply(site, tmp_path, name="filed", entities=("a",))
    file = tmp_path / "fleet.toml"
    file.write_text(file.read_text().replace("\n[source]\n", "\n[fleet.export]\nenabled = true\n\n[source]\n", 1))
    site.manage("apply", str(file))
    site.batch_done(fleets.trigger(site, fleet="filed"), seconds=60)
    fleets.write(data, entities=("a",), days=130)
    site.batch_done(fleets.trigger(site, fleet="filed", entity="a"), seconds=60)
    folder = site.folder / "exports" / "default" / "filed" / "a"
    champion = site.http("GET", "/api/v1/models/filed/a/champion").body
    assert champion["number"] == 2

    def follows(label: str, what: str) -> None:
        until(lambda: _pointed(folder) == label, seconds=10, what=what)
        assert exporting.read(folder)["version"] == label
        # The link is for people; it moves after the pointer, which programs read.
        until(lambda: (folder / "production" / "latest").resolve().name == label, seconds=10, what=f"the link, {what}")

    follows(champion["label"], "the export of the champion")
    rolled = site.http("POST", "/api/v1/models/filed/a/rollback", {"reason": "the shop was closed"})
    assert rolled.status == 200, rolled
    follows(rolled.body["champion"]["label"], "the export of the version rolled back to")
    promoted = site.http("POST", "/api/v1/models/filed/a/promote", {"version": "2", "reason": "open again"})
    assert promoted.status == 200, promoted
    follows(champion["label"], "the export of the version promoted")
    assert exporting.read(folder)["digest"] == champion["artifact"]["digest"]


def _pointed(folder: Path) -> str | None:
    file = folder / "current.json"
    return json.loads(file.read_bytes())["version"] if file.exists() else None
