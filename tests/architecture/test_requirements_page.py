"""The page of requirements: what counts as a mark, what is refused, and that the page in docs is the present one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import requirements_page
from tests.requirements_page import Line, Mark, MarkUnreadable

MODULE = """
import pytest
pytestmark = [pytest.mark.django_db, pytest.mark.requirement("X04")]

@pytest.mark.requirement("R01", "R02")
def test_a_thing(): ...

class TestMore:
    pytestmark = pytest.mark.requirement("T01")

    @pytest.mark.requirement("R02")
    def test_another(self): ...
"""
LINES = [Line(section="Registry", id="R01", text="One."), Line(section="Registry", id="R02", text="Two.")]


def of(test: str, source: str = MODULE) -> set[str]:
    return {mark.id for mark in requirements_page.marks(source, path="tests/test_x.py") if mark.test == test}


def test_marks_of_test_class_and_module_count() -> None:
    assert of("test_a_thing") == {"R01", "R02", "X04"}
    assert of("test_another") == {"R02", "T01", "X04"}


def test_a_mark_that_belongs_to_no_test_is_refused() -> None:
    with pytest.raises(MarkUnreadable, match=r"tests/test_x.py:2"):
        of("test_a", 'import pytest\nmark = pytest.mark.requirement("R01")\n')


def test_a_mark_of_an_unknown_line_is_refused() -> None:
    with pytest.raises(MarkUnreadable, match="there is no requirement R99"):
        requirements_page.page(LINES, [Mark(path="tests/test_x.py", test="test_a", id="R99")])


def test_the_page_tells_covered_lines_from_open_ones() -> None:
    page = requirements_page.page(LINES, [Mark(path="tests/test_x.py", test="test_a_thing", id="R01")])
    assert "1 of 2 lines have a test. Open: R02." in page
    assert "- [test_x.py](../tests/test_x.py): a thing" in page
    assert "**R02** Two.\n\n- open: no test yet" in page


def test_a_stale_page_is_refused_until_it_is_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "docs" / "checklist.md").write_text(
        "# Checklist\n\n## Registry\n- R01 One.\n- R02 Two.\n- X04 X.\n- T01 T.\n"
    )
    (tmp_path / "tests" / "test_x.py").write_text(MODULE)
    assert requirements_page.main(["--check"], root=tmp_path) == 1
    assert "stale" in capsys.readouterr().err
    assert requirements_page.main([], root=tmp_path) == 0
    assert requirements_page.main(["--check"], root=tmp_path) == 0


@pytest.mark.requirement("C07")
def test_the_checklist_has_every_line_once() -> None:
    lines = requirements_page.checklist((requirements_page.ROOT / "docs" / "checklist.md").read_text())
    ids = [line.id for line in lines]
    assert len(ids) == len(set(ids)) == 116
    assert {id_[0] for id_ in ids} == set("RTSEMALPUDBXFC")
