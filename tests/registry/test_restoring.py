"""Every door that restores an archived version also holds it, in one transaction: the next prune leaves it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from registry import holding, timestamps
from registry.models import Event, ModelVersion
from tests import admin_pages
from tests.config.commands import run
from tests.factories import NOW
from tests.registry import kept
from tests.rest_client import caller

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles"), pytest.mark.requirement("R16")]
REASON = "The season is back."


def over_http(version: ModelVersion) -> bool:
    body = {"action": "restore", "versions": [str(version.pk)], "reason": REASON}
    answer = caller(role="approver").post("versions/bulk", body, key="back")
    return bool(answer.json()["changed"] == 1)


def by_command(version: ModelVersion) -> bool:
    model = version.registered_model
    said = run("restore", model.fleet.name, model.entity_key, version.number, "--reason", REASON)
    return said.status == 0 and "ready again, and held" in said.text


def by_admin(version: ModelVersion) -> bool:
    answer = admin_pages.client(role="approver").post(admin_pages.action(version, "restore"), {"reason": REASON})
    return answer.status_code == 302


@pytest.mark.parametrize("restore", [over_http, by_command, by_admin])
def test_what_is_restored_is_held_and_the_next_prune_leaves_it(restore: Callable[[ModelVersion], bool]) -> None:
    model, versions = kept.model()
    assert len(kept.mark(model.fleet)) == 2
    assert restore(versions[0])
    assert kept.state(versions[0]) == "ready"
    [hold] = versions[0].holds.all()
    assert (hold.placed_by, hold.reason, hold.until) == ("user", REASON, None)
    assert kept.mark(model.fleet, at=timestamps.utc_now()) == []
    kinds = list(Event.objects.filter(to_version=versions[0]).order_by("-count").values_list("kind", flat=True)[:2])
    assert kinds == [holding.HELD, "registry.version.restored"]


def test_a_restored_version_without_its_hold_is_not_left_behind() -> None:
    model, versions = kept.model()
    kept.mark(model.fleet)
    count = Event.objects.count()
    with pytest.raises(holding.ReasonTooLong):
        holding.restore([versions[0].pk], actor="ada", reason="x" * 501, at=NOW)
    assert (kept.state(versions[0]), Event.objects.count()) == ("archived", count)
