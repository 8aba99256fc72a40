"""Names that try to leave their place: refused wherever a name comes in, and nothing outside is touched."""

from __future__ import annotations

import itertools
from pathlib import Path
from urllib.parse import quote

import pytest
from django.core.exceptions import ValidationError

from registry import artifacts, enrolment, errors, store
from registry.models import Fleet, ModelVersion, RegisteredModel
from tests import factories
from tests.rest_client import caller
from training import snapshots
from training.models import Snapshot

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("X01")]
NOW = factories.NOW
NAMES = [
    "",
    ".",
    "..",
    "../outside",
    "../../etc/passwd",
    "/etc/passwd",
    "..\\outside",
    "C:\\outside",
    "\\\\host\\share",
    "%2e%2e%2foutside",
    "%252e%252e%252foutside",
    "..%2f..%2foutside",
    "..%c0%afoutside",
    "nul\0byte",
    "new\nline",
    " space",
    "trailing ",
    "\u2024\u2024/outside",
    "\uff0e\uff0e\uff0foutside",
    "\u2215outside",
    "\u202eexe.txt",
    "file:///etc/passwd",
    "a/../../outside",
    "name?query",
    "name#fragment",
    "name;ls",
    "$(touch outside)",
    "~root",
    "-rf",
    "*",
    "\u0661\u0662",
    "x" * 10_000,
]
each_name = pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:40])


@each_name
def test_no_fleet_can_be_named_so(name: str) -> None:
    fleet = Fleet(tenant="acme", name=name, kind="forecast", frequency="D")
    with pytest.raises(ValidationError) as refused:
        fleet.full_clean()
    assert "name" in refused.value.message_dict


@each_name
def test_no_tenant_can_be_named_so(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Fleet(tenant=name, name="bakery", kind="forecast", frequency="D").full_clean()
    assert "tenant" in refused.value.message_dict


@each_name
def test_no_entity_can_be_named_so(name: str) -> None:
    fleet = factories.fleet()
    with pytest.raises(enrolment.EntityInvalid):
        enrolment.enroll(fleet=fleet, entity_keys=["good", name], actor="test", at=NOW)
    with pytest.raises(ValidationError) as refused:
        RegisteredModel(fleet=fleet, entity_key=name).full_clean()
    assert "entity_key" in refused.value.message_dict
    assert not RegisteredModel.objects.exists()


@pytest.mark.usefixtures("roles")
def test_no_address_leads_out_of_the_api() -> None:
    """Each name in each place of each address: malformed or unknown, and never an error of the server."""
    fleet = factories.fleet(name="bakery")
    factories.champion(registered_model=factories.registered_model(fleet=fleet, entity_key="rye"))
    viewer = caller(role="viewer")
    addresses = [
        "fleets/{}",
        "models/{}",
        "models/{}/rye",
        "models/bakery/{}",
        "models/bakery/{}/champion",
        "models/bakery/rye/versions/{}",
        "versions/{}",
        "runs/{}",
        "policies/bakery/{}",
    ]
    for address, name in itertools.product(addresses, filter(None, NAMES)):
        for written in {quote(name, safe=""), quote(quote(name, safe=""), safe="")}:
            answer = viewer.get(address.format(written))
            assert answer.status_code in {400, 404}, (address, written[:60], answer.status_code)
            assert "root:" not in answer.content.decode()


@each_name
def test_a_row_that_leads_elsewhere_is_not_followed(name: str, artifact_folder: Path) -> None:
    """Whoever writes to the database still reads no other file."""
    version = factories.version(registered_model=factories.registered_model(), content=b"the artifact")
    outside = artifact_folder.parent / "outside"
    outside.write_bytes(b"the artifact")
    for field in ("artifact_digest", "artifact_container"):
        row = ModelVersion.objects.select_related("registered_model__fleet").get(pk=version.pk)
        if not name and field == "artifact_container":
            continue  # it has none, which is true
        setattr(row, field, name)
        with pytest.raises(errors.PerennialError) as refused:
            artifacts.load(row)
        assert refused.value.code in {"store_key_invalid", "artifact_missing"}
    located = Snapshot(source_id=1, digest="0" * 64, location=name)
    with pytest.raises(store.StoreKeyInvalid):
        snapshots.read(located)
