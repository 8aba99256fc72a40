"""One installation for all flows; each flow brings its own fleet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flows import fleets
from tests.flows.installation import Installation


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running installation with a superuser and a token."""
    installation = Installation(folder=tmp_path_factory.mktemp("site")).start()
    try:
        installation.admit()
        # Due at the next full minute, with nobody asking: a flow looks for its batch while the others run.
        fleets.apply(
            installation, tmp_path_factory.mktemp("minutely"), name="minutely", entities=("a",), cron="* * * * *"
        )
        yield installation
    finally:
        assert installation.stop() == 0
