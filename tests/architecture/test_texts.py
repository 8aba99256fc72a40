"""The project's texts speak of the project alone: no path of one machine, no host that packages were taken from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.architecture import source

# Written so that this file does not find itself.
PLACES = re.compile(r"(?<![\w.\-/])/(?:wor[k]|roo[t]|hom[e]/\w+|Use[r]s/\w+)(?![\w\-])")
INDEX = re.compile(r"extra-inde[x]-url|--inde[x]-url|--trusted-hos[t]|UV_(?:DEFAULT_)?INDE[X]|tool\.uv\.inde[x]")
PACKAGE_HOSTS = {"pypi.org", "files.pythonhosted.org"}


def offences(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        found = PLACES.search(line) or INDEX.search(line)
        if found:
            yield f"{number}: {found[0]}"


def hosts(lock: str) -> set[str]:
    packages = tomllib.loads(lock)["package"]
    urls = [
        each["url"] for package in packages for each in [*package.get("wheels", []), package.get("sdist", {})] if each
    ]
    urls += [package["source"]["registry"] for package in packages if "registry" in package["source"]]
    return {urlsplit(url).hostname or "" for url in urls}


def test_the_walk_finds_the_texts() -> None:
    names = {source.name(path) for path in source.texts()}
    assert {"README.md", "Makefile", "pyproject.toml", ".env.example", "docs/api.md", ".ci/run"} <= names


def test_no_text_names_a_place_of_one_machine() -> None:
    found = {
        source.name(path): told for path in source.texts() if (told := list(offences(path.read_text(errors="replace"))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",
    ["see /wor" + "k/main", '"/roo' + 't/x"', "pip install --inde" + "x-url http://a.example", "(/hom" + "e/ada/x)"],
)
def test_the_rule_sees_a_place(text: str) -> None:
    assert list(offences(text))


@pytest.mark.parametrize(
    "text", ["root", "path/to/work", "https://example.com/work", "/workers", "$ROOT/root", "/roots"]
)
def test_the_rule_leaves_words_alone(text: str) -> None:
    assert not list(offences(text))


def test_the_lock_file_names_the_public_index_alone() -> None:
    assert hosts((source.ROOT / "uv.lock").read_text()) == PACKAGE_HOSTS
