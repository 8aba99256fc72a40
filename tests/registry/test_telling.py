"""What a command that ends half-way has told by then is whole, and counts what was done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import pytest

from registry import terminal
from registry.management import telling


class Words(telling.Words[int]):
    """Even numbers are done; the telling of a seven ends it."""

    done = "done"
    head: Mapping[str, Any] = {}

    def is_done(self, each: int) -> bool:
        return each % 2 == 0

    def table(self, some: Sequence[int], *, is_first: bool) -> Any:
        return ""

    def sentence(self, *, done: int, refused: int) -> str:
        return f"{done} done, {refused} refused"

    def plain(self, each: int) -> Mapping[str, Any]:
        if each == 7:
            raise KeyboardInterrupt
        return {"n": each}


@pytest.mark.parametrize(
    ("slices", "counts"), [([[2, 4, 7]], (2, 1)), ([[1], [2, 7]], (1, 2)), ([[7]], (0, 1))], ids=str
)
def test_a_telling_that_is_ended_is_one_object_and_counts_what_was_done(
    slices: list[list[int]], counts: tuple[int, int]
) -> None:
    out = StringIO()
    command = terminal.Command(stdout=out)
    with pytest.raises(KeyboardInterrupt), telling.told(command, Words(), as_json=True) as told:
        for some in slices:
            told.tell(some)
    found = json.loads(out.getvalue())
    assert [each["n"] for each in found["results"]] == [each for some in slices for each in some if each != 7]
    assert (found["done"], found["refused"]) == counts
