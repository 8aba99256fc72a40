"""The guides tell the truth where a machine can see it: links, settings, codes of failures, targets, decisions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import source

PAGES = [path for path in source.texts() if path.suffix == ".md" and path.name != "requirements.md"]
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#]+)(?:#[^)]*)?\)")
SETTING = re.compile(r"\b(PERENNIAL_[A-Z][A-Z_]*[A-Z]|DATABASE_URL|REDIS_URL)\b")
TARGET = re.compile(r"\bmake ([a-z]+)\b")
FIRST_CELL = re.compile(r"^\| ((?:`[a-z_]+`(?:, )?)+)(?: or symptom)? \|", re.MULTILINE)
PARTS = ["## Context", "## Decision", "## Price", "## Rejected"]
# Groups of settings, named with their common beginning.
PREFIXES = {"PERENNIAL_REGISTRY", "PERENNIAL_TRAINING"}


def dead_links(page: Path) -> Iterator[str]:
    for target in LINK.findall(page.read_text()):
        if not (page.parent / target).exists():
            yield target


def code() -> str:
    return "\n".join(path.read_text() for path in source.modules())


def each_page(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=[source.name(page) for page in pages])


@each_page(PAGES)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(dead_links(page)) == []


@each_page(PAGES)
def test_every_setting_that_is_named_exists(page: Path) -> None:
    named = set(SETTING.findall(page.read_text()))
    known = set(SETTING.findall((source.ROOT / ".env.example").read_text())) | PREFIXES
    assert named - known == set()


@each_page(PAGES)
def test_every_target_that_is_named_exists(page: Path) -> None:
    lines = [line for line in page.read_text().splitlines() if line.startswith("    ") or "`" in line]
    written = {name for line in lines for name in TARGET.findall(" ".join(re.findall(r"`[^`]+`|^    .*", line)))}
    targets = set(re.findall(r"^([a-z]+):", (source.ROOT / "Makefile").read_text(), re.MULTILINE))
    assert written - targets == set()


@pytest.mark.requirement("C07")
def test_every_code_in_the_table_of_troubles_is_used() -> None:
    cells = FIRST_CELL.findall((source.ROOT / "docs" / "troubleshooting.md").read_text())
    codes = {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}
    assert len(codes) > 40
    written = set(re.findall(r"\"([a-z]+(?:_[a-z]+)*)\"", code()))
    assert codes - written == set()


@pytest.mark.requirement("C07")
def test_every_decision_has_its_number_and_its_four_parts() -> None:
    pages = sorted((source.ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text()
        assert text.startswith(f"# {int(page.name[:4])}. "), page.name
        assert re.findall(r"^## \w+", text, re.MULTILINE) == PARTS, page.name
        assert len(text.splitlines()) <= 60, f"{page.name} is longer than a page"


@pytest.mark.requirement("C07", "B09")
@pytest.mark.parametrize(
    "section",
    ["First start", "Processes", "Backup", "Rolling restart, upgrade, back out", "Logs", "Probes", "Checklist"],
)
def test_the_guide_to_deployment_has_the_section(section: str) -> None:
    text = (source.ROOT / "docs" / "deployment.md").read_text()
    body = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    assert len(body.split()) > 30


def test_the_first_page_shows_every_picture() -> None:
    shown = set(re.findall(r"docs/images/([a-z-]+\.png)", (source.ROOT / "README.md").read_text()))
    assert shown == {path.name for path in (source.ROOT / "docs" / "images").glob("*.png")}
