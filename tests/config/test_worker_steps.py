"""What a worker's main process does about its children, without a worker around it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from config.worker_steps import Survivors
from training import workers


def test_a_child_is_asked_for_one_look_after_it_was_gone_and_until_it_holds_nothing() -> None:
    step = Survivors(None)
    assert step.look({1, 2}) == set()
    assert step.look({2, 3}) == set()
    assert step.look({2, 3}) == {1}
    assert step.look({2, 3}) == {1}
    step._gone -= {1}
    assert step.look({2, 3}) == set()


def test_a_pid_that_another_child_has_by_now_is_not_asked_for() -> None:
    step = Survivors(None)
    step.look({1, 2})
    step.look({2})
    assert step.look({1, 2}) == set()
    assert step.look({1, 2}) == set()


def test_nothing_is_said_of_the_children_of_a_pool_that_is_being_closed_or_has_none() -> None:
    class Closing:
        @property
        def info(self) -> Any:
            raise AttributeError("'NoneType' object has no attribute '_pool'")

    assert Survivors._living(Closing()) is None
    assert Survivors._living(SimpleNamespace(info={})) is None
    assert Survivors._living(SimpleNamespace(info={"processes": [3, None, 4]})) == {3, 4}


def test_the_pool_is_told_to_look_after_its_children_often() -> None:
    asked: list[tuple[float, Any]] = []

    worker = SimpleNamespace(pool=SimpleNamespace(maintain_pool="maintain"))
    hub = SimpleNamespace(call_repeatedly=lambda seconds, what: asked.append((seconds, what)))
    Survivors(None).register_with_event_loop(worker, hub)
    assert asked == [(0.5, "maintain")]


def test_a_name_ends_with_the_process_and_says_which_start_of_a_worker_it_is_of() -> None:
    host, pid = workers.name_of(12).rsplit(":", 1)
    assert pid == "12"
    assert len(host.rsplit(".", 1)[1]) == 8
