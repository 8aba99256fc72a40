"""Owns how these tests see the project's texts: which modules and files count, what a module imports and calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("config", "monitoring", "training", "registry", "local", "benchmarks")
APPS = ("config", "monitoring", "training", "registry", "local")
FOLDERS = (*PACKAGES, "tests", "docs", "examples", ".ci")
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".yml",
    ".yaml",
    ".html",
    ".css",
    ".js",
    ".svg",
    ".txt",
    ".sh",
    ".ini",
    ".cfg",
    ".example",
    "",
}


def modules() -> list[Path]:
    """Return the project's own modules: no tests, no migrations."""
    found = [ROOT / "manage.py", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    return sorted(path for path in found if "migrations" not in path.parts and "__pycache__" not in path.parts)


def texts() -> list[Path]:
    """Return every text of the project, tests included; what tools and one machine keep is left out."""
    below = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    above = [path for path in ROOT.iterdir() if path.name not in {".env", ".git"}]
    found = [path for path in (*above, *below) if path.is_file() and path.suffix in TEXT]
    return sorted(path for path in found if "__pycache__" not in path.parts and not path.name.startswith(".coverage"))


def name(path: Path) -> str:
    """Return the path inside the project."""
    return path.relative_to(ROOT).as_posix()


def dotted(path: Path) -> str:
    """Return the dotted name of a module."""
    return name(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported(source: str) -> Iterator[str]:
    """Yield the dotted names that a module imports anywhere, lazily too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def called(source: str) -> Iterator[str]:
    """Yield the names of the attributes that a module calls, as `delay` of `task.delay()`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr
