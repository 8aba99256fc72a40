"""Owns the rule that what people change by hand has a reason, for those who read the ledger later."""

from __future__ import annotations

from registry import errors


class ReasonMissing(errors.Invalid):
    """Whoever finds a change later has to learn what it was for."""

    code = "reason_missing"
    next_step = "Say in a sentence why."


def ended(text: str) -> str:
    """Return what a person wrote as the end of a sentence: with one full stop, unless it brought one."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def given(reason: str) -> str:
    """Return a reason as the ledger keeps it. Raises ReasonMissing."""
    if not reason.strip():
        raise ReasonMissing("No reason was given.", field="reason")
    return reason.strip()
