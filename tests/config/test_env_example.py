"""`.env.example` is the list of settings: complete, with the true defaults, and nothing that nobody reads."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from config import env
from registry.conf import RegistryConf
from training.conf import TrainingConf

ROOT = Path(__file__).resolve().parents[2]
CONFS = {"PERENNIAL_REGISTRY": RegistryConf, "PERENNIAL_TRAINING": TrainingConf}
OWN = r"PERENNIAL_[A-Z][A-Z_]*[A-Z]|DATABASE_URL|REDIS_URL"

# Where variables are read: by quoted name in Python, by ${NAME} in the compose file.
READERS = ("manage.py", "config/settings.py", "config/processes.py", "local/*.py")


def documented() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    found = [(match[1], match[2]) for line in lines if (match := re.fullmatch(rf"# ({OWN})=(.*)", line))]
    names = [name for name, _ in found]
    assert len(names) == len(set(names)), "a setting is documented twice"
    return dict(found)


def read_by_name() -> set[str]:
    code = "\n".join(path.read_text() for pattern in READERS for path in ROOT.glob(pattern))
    compose = ROOT / "docker-compose.yml"
    found = set(re.findall(rf"[\"']({OWN})[\"']", code)) - CONFS.keys()
    return found | (set(re.findall(rf"\$\{{({OWN})", compose.read_text())) if compose.exists() else set())


def fields() -> dict[str, object]:
    return {
        f"{prefix}_{field.name.upper()}": field.default
        for prefix, conf in CONFS.items()
        for field in dataclasses.fields(conf)
    }


@pytest.mark.requirement("X03")
@pytest.mark.requirement("C08")
def test_every_setting_is_documented_and_nothing_else_is() -> None:
    known = read_by_name() | fields().keys()
    assert known - documented().keys() == set(), "read, but not in .env.example"
    assert documented().keys() - known == set(), "in .env.example, but read nowhere"


@pytest.mark.parametrize("name", sorted(fields()))
def test_the_documented_default_is_the_default(name: str) -> None:
    default = fields()[name]
    written = documented()[name]
    assert (env.read(name, type(default), {name: written}) if written else "") == default


def test_every_setting_says_what_it_is() -> None:
    paragraphs = (ROOT / ".env.example").read_text().split("\n\n")
    for paragraph in paragraphs:
        lines = paragraph.strip().splitlines()
        if lines and re.fullmatch(rf"# ({OWN})=(.*)", lines[-1]):
            assert len(lines) > 1, f"no word about {lines[-1]}"
