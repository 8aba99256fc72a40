"""The table names the trainers without loading one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from training.trainers import table


@pytest.mark.requirement("T01")
def test_every_entry_is_the_trainer_that_it_says() -> None:
    for name in table.TRAINERS:
        trainer = table.find(name)
        assert trainer.name == name
        assert trainer.kinds == table.TRAINERS[name].kinds


def test_names_can_be_asked_for_one_kind_of_fleet() -> None:
    assert table.names("forecast") == ("prophet", "seasonal_naive")
    assert table.names("regression") == ("random_forest", "ridge", "seasonal_naive")


@pytest.mark.parametrize("ask", [table.find, table.format_of])
def test_an_unknown_trainer_is_refused_with_the_names_there_are(ask: object) -> None:
    with pytest.raises(table.TrainerUnknown) as caught:
        ask("oracle")  # type: ignore[operator]
    assert caught.value.code == "trainer_unknown"
    assert "prophet, random_forest, ridge, seasonal_naive" in caught.value.sentence


def test_naming_trainers_loads_no_library() -> None:
    code = (
        "from training.trainers import table; import sys; table.format_of('prophet'); table.names('forecast');"
        "sys.exit(bool({'numpy', 'pandas', 'sklearn', 'prophet'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
