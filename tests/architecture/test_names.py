"""Names that are written as text and that no import checks: tasks, queues, dotted paths, error codes."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache

import pytest
from django.conf import settings

from config import celery_app
from config.schedule import sweeps
from registry.errors import PerennialError
from tests.architecture import source
from training.conf import TrainingConf
from training.trainers import table

CODE = re.compile(r"[a-z]+(_[a-z]+)*")


def declared_tasks() -> list[str]:
    """The names given to shared_task, each as often as it is given: Celery itself keeps the last one silently."""
    calls = [
        node
        for path in source.modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "shared_task"
    ]
    return [
        str(ast.literal_eval(keyword.value)) for call in calls for keyword in call.keywords if keyword.arg == "name"
    ]


@cache
def registered_tasks() -> frozenset[str]:
    celery_app.loader.import_default_modules()
    return frozenset(name for name in celery_app.tasks if not name.startswith("celery."))


def queues() -> set[str]:
    return {queue.name for queue in settings.CELERY_TASK_QUEUES}


def below(kind: type[PerennialError]) -> Iterator[type[PerennialError]]:
    for each in kind.__subclasses__():
        yield each
        yield from below(each)


@cache
def errors() -> tuple[type[PerennialError], ...]:
    """Every error of the project's own modules, all of them imported first."""
    for path in source.modules():
        if source.name(path) != "manage.py" and path.name != "__main__.py":
            importlib.import_module(source.dotted(path))
    found = {each for each in below(PerennialError) if each.__module__.split(".")[0] in source.APPS}
    return tuple(sorted(found, key=lambda each: (each.code, each.__module__)))


@pytest.mark.requirement("S03")
def test_every_sweep_is_a_registered_task_on_a_declared_queue() -> None:
    table_of_sweeps = sweeps(TrainingConf())
    assert table_of_sweeps
    for name, sweep in table_of_sweeps.items():
        assert sweep.task in registered_tasks(), name
        assert sweep.queue in queues(), name
        assert settings.CELERY_BEAT_SCHEDULE[name]["task"] == sweep.task


def test_what_can_hang_or_works_for_a_minute_shares_no_queue_with_the_dispatcher() -> None:
    beside = {sweep.task for sweep in sweeps(TrainingConf()).values() if sweep.queue == "control"}
    assert beside == {"training.dispatch", "training.fire_due_slots", "training.requeue_stalled"}


def test_every_task_name_is_given_once_and_registered() -> None:
    declared = declared_tasks()
    assert [name for name, times in Counter(declared).items() if times > 1] == []
    assert set(declared) == registered_tasks()
    assert all(name.split(".")[0] in source.APPS for name in declared)


@pytest.mark.requirement("T01")
@pytest.mark.parametrize("name", table.names())
def test_every_trainer_is_where_the_table_says(name: str) -> None:
    trainer = table.find(name)
    assert trainer.name == name
    assert trainer.kinds == table.TRAINERS[name].kinds, "the table is what the web process believes"
    assert trainer.format
    assert trainer.check_params({}) == trainer.defaults


@pytest.mark.requirement("B06")
def test_every_error_has_a_code_of_its_own_and_a_next_step() -> None:
    assert len(errors()) > 40
    without = [each for each in errors() if "code" not in vars(each) or not CODE.fullmatch(each.code)]
    assert without == []
    assert [each for each in errors() if not each.next_step.strip() or each.next_step == PerennialError.next_step] == []
    assert [each for each in errors() if not (each.__doc__ or "").strip()] == []


@pytest.mark.requirement("B06")
def test_one_code_means_one_thing() -> None:
    meanings: dict[str, set[str]] = defaultdict(set)
    for each in errors():
        # Two modules that may not import each other may both know a failure; it then has one name.
        meanings[each.code].add(each.__name__)
    assert {code: names for code, names in meanings.items() if len(names) > 1} == {}
