"""What no linter says about a module: its length, its name, its first line, and what it must never import or call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import source

MOST_LINES = 300
NAMELESS = {
    "utils",
    "util",
    "common",
    "helpers",
    "helper",
    "services",
    "service",
    "managers",
    "manager",
    "misc",
    "signals",
}
FORBIDDEN = {
    "pickle": "no pickle anywhere, see docs/decisions/0004-artifact-formats.md",
    "joblib": "no pickle anywhere, see docs/decisions/0004-artifact-formats.md",
    "cloudpickle": "no pickle anywhere, see docs/decisions/0004-artifact-formats.md",
    "dill": "no pickle anywhere, see docs/decisions/0004-artifact-formats.md",
    "django.dispatch": "no Django signals: call it, or write a row",
    "django.db.models.signals": "no Django signals: call it, or write a row",
    "django.core.signals": "no Django signals: call it, or write a row",
    "django.contrib.auth.signals": "no Django signals: call it, or write a row",
}
# The loop that others write is measured with what it uses, by a script that knows nothing of the product.
BASELINE = "benchmarks/fleet/baseline.py"
ENQUEUE = {"delay", "delay_on_commit", "apply_async", "apply_async_on_commit", "send_task"}
DISPATCHER = "training/tasks.py"


def too_long(text: str) -> bool:
    return len(text.splitlines()) > MOST_LINES


def nameless(path: Path) -> bool:
    return bool({path.stem, path.parent.name} & NAMELESS)


def forbidden(text: str) -> Iterator[str]:
    for found in source.imported(text):
        yield from (f"{found}: {why}" for name, why in FORBIDDEN.items() if f"{found}.".startswith(f"{name}."))


def enqueues(text: str) -> bool:
    return bool(ENQUEUE & set(source.called(text)))


def test_the_walk_finds_the_modules() -> None:
    names = {source.name(path) for path in source.modules()}
    assert {"registry/lifecycle/__init__.py", "training/retraining.py", "local/keeper.py", "manage.py"} <= names
    assert not any(name.startswith("tests/") or "/migrations/" in name for name in names)


@pytest.mark.requirement("C03")
def test_no_module_is_too_long() -> None:
    found = {
        source.name(path): len(path.read_text().splitlines()) for path in source.modules() if too_long(path.read_text())
    }
    assert found == {}, "split it by what its parts own"


def test_every_module_says_in_its_first_line_what_it_owns() -> None:
    silent = [
        source.name(path)
        for path in source.modules()
        if (text := path.read_text()).strip() and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []


def test_every_module_is_named_after_its_subject() -> None:
    assert [source.name(path) for path in source.modules() if nameless(path)] == []


@pytest.mark.requirement("R09")
def test_nothing_forbidden_is_imported() -> None:
    found = {source.name(path): told for path in source.modules() if (told := sorted(forbidden(path.read_text())))}
    assert [each.partition(":")[0] for each in found.pop(BASELINE)] == ["joblib", "pickle"]
    assert found == {}


def test_nothing_imports_the_script_that_may_use_them() -> None:
    name = BASELINE.removesuffix(".py").replace("/", ".")
    assert [source.name(path) for path in source.modules() if name in source.imported(path.read_text())] == []
    own = {found.partition(".")[0] for found in source.imported((source.ROOT / BASELINE).read_text())}
    assert not own & set(source.PACKAGES)


def test_the_dispatcher_alone_enqueues() -> None:
    found = [source.name(path) for path in source.modules() if enqueues(path.read_text())]
    assert found == [DISPATCHER], "write a row; the dispatcher turns rows into messages"


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "def f():\n    import joblib.externals",
        "from django.db.models import signals",
        "from django.db.models.signals import post_save",
        "from django.dispatch import receiver",
    ],
)
def test_the_rule_sees_a_forbidden_import(text: str) -> None:
    assert list(forbidden(text))


def test_the_rules_see_other_offences() -> None:
    assert enqueues("def f(): carry_out.apply_async(kwargs={})")
    assert enqueues("def f(): carry_out.delay()")
    assert not enqueues("def f(): print(delay)")
    assert nameless(Path("training/utils.py"))
    assert nameless(Path("training/services/promotion.py"))
    assert too_long("x\n" * 301)
    assert not too_long("x\n" * 300)
