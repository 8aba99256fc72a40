"""The web process stays light: no address, admin page or check makes it load a scientific library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
import config.wsgi
from django.core.checks.registry import registry

assert "config.checks" in {check.__module__ for check in registry.registered_checks}
from django.core.checks import run_checks
from django.urls import get_resolver

def walk(patterns):
    for each in patterns:
        walk(each.url_patterns) if hasattr(each, "url_patterns") else each.callback

walk(get_resolver().url_patterns)
run_checks()
from drf_spectacular.generators import SchemaGenerator
SchemaGenerator().get_schema(request=None, public=True)
heavy = {"numpy", "pandas", "scipy", "sklearn", "prophet", "pyarrow", "skops", "matplotlib"} & set(sys.modules)
print(*sorted(heavy))
print(len(sys.modules))
"""


def test_the_web_process_loads_no_scientific_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "PERENNIAL_ROLE": "web"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    heavy, count = done.stdout.splitlines()
    assert heavy == ""
    assert int(count) > 500
