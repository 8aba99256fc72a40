"""The kinds of failure that every app inherits from; each error carries a machine code, a sentence and a next step."""

from __future__ import annotations

from typing import ClassVar


class PerennialError(Exception):
    """Base of every failure that this product reports on purpose.

    A subclass sets `code` and `next_step`; the sentence is given when raised and says what happened, with its values.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    next_step: str = "Read the log of this run or request."

    def __init__(self, sentence: str, *, next_step: str | None = None, field: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.field = field
        if next_step is not None:
            self.next_step = next_step

    def plain(self) -> dict[str, str]:
        """Return it as programs read it, over REST and from commands: code, detail and next step."""
        return {"code": self.code, "detail": self.sentence, "next_step": self.next_step}

    def __str__(self) -> str:
        return f"{self.sentence} {self.next_step}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.sentence, self.next_step, self.field))


def _rebuild(kind: type[PerennialError], sentence: str, next_step: str, field: str | None) -> PerennialError:
    return kind(sentence, next_step=next_step, field=field)


class Invalid(PerennialError):
    """The input breaks a stated rule."""

    code = "invalid"
    status = 400
    next_step = "Correct the value and try again."


class NotFound(PerennialError):
    """Nothing by that name exists for this caller."""

    code = "not_found"
    status = 404
    next_step = "Check the name; `manage.py status` lists what exists."


class Conflict(PerennialError):
    """The state of the thing does not allow this now."""

    code = "conflict"
    status = 409
    next_step = "Read the present state, then decide again."


class Corrupted(PerennialError):
    """Stored bytes are not what was stored."""

    code = "corrupted"
    status = 409
    next_step = "Roll back to another version, then restore the file from a backup."


class Unavailable(PerennialError):
    """A part that is needed does not answer."""

    code = "unavailable"
    status = 503
    next_step = "Check that the part is running, then try again."
