"""Every entity gets a folder of its own, with a name that every file system takes."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry import identifiers
from registry.export import names

KEYS = st.from_regex(rf"\A{identifiers.ENTITY_KEY}\Z")
DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(10))}


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        ("store00_roll", "store00_roll"),
        ("1.5-kW", "1.5-kW@2"),
        ("plant:7:pump", "plant+7+pump"),
        ("STORE-01", "STORE-01@1f"),
        ("Bread", "Bread@1"),
        ("nul", "@nul"),
        ("Con.txt", "@Con.txt@1"),
        ("console", "console"),
        ("a.", "a.@"),
        ("a..", "a..@"),
    ],
)
@pytest.mark.requirement("R21", "X01")
def test_a_name_stays_readable(key: str, folder: str) -> None:
    assert names.folder(key) == folder


@pytest.mark.requirement("R21", "X01")
@given(first=KEYS, second=KEYS)
@example(first="Ab", second="aB")
@example(first="ab", second="AB")
@example(first="a:b", second="a.b")
@example(first="A.", second="A")
def test_two_entities_never_share_a_folder_also_where_case_does_not_count(first: str, second: str) -> None:
    assert first == second or names.folder(first).casefold() != names.folder(second).casefold()


@pytest.mark.requirement("R21", "X01")
@given(key=KEYS)
@example(key="nul.tar.gz")
@example(key="LPT9")
@example(key="a" * 128)
@example(key="A" * 128)
def test_a_name_is_one_part_of_a_path_on_every_system(key: str) -> None:
    folder = names.folder(key)
    assert re.fullmatch(r"[A-Za-z0-9@][A-Za-z0-9._+@-]*", folder)
    assert len(folder) <= 200
    assert not folder.endswith(".") and folder not in {".", ".."}
    assert folder.partition(".")[0].casefold() not in DEVICES
