"""`manage.py rotate_keys`: what each key signs; --apply signs with the first what older ones have signed."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from registry import display, terminal, timestamps
from registry.upkeep import rotation
from registry.upkeep.rotation import KeyUse, Rotated


class Command(terminal.Command):
    """Sign anew, then count."""

    writes = True
    help = (
        "Show how many versions each key signs; --apply signs with the first key of PERENNIAL_REGISTRY_SIGNING_KEYS "
        "what the others there have signed. A version whose old signature does not hold is quarantined instead. Ends 0 "
        "when done or shown, 1 where something was refused, 3 where nothing is to do. It can be broken off and begun "
        "again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--apply", action="store_true", help="sign anew; without it only show what each key signs")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate and tell."""
        done = rotation.rotate(actor=terminal.actor(), at=timestamps.utc_now()) if options["apply"] else None
        uses = rotation.uses()
        if options["json"]:
            self.print_json({"rotated": _told(done), "keys": [asdict(use) | {"state": _state(use)} for use in uses]})
        else:
            self._show(done, uses)
        if done is not None:
            self._end(done)

    def _show(self, done: Rotated | None, uses: Sequence[KeyUse]) -> None:
        if done is not None:
            self.say(f"Signed anew with the key {done.key_id}: {display.counted(done.resigned, 'version')}.")
            self._show_refused(done)
        rows = [(use.key_id, f"{use.versions:,}", _state(use)) for use in uses]
        self.console.print(terminal.table("Signing keys", ["key", "versions>", "state~"], rows))
        if done is None and any(use.versions and use.known and not use.signs for use in uses):
            self.say("Nothing was changed. To sign with the first key what the others have signed: --apply")

    def _show_refused(self, done: Rotated) -> None:
        for version in done.listed:
            self.say(f"Refused and quarantined: {version} ({version.pk}), its old signature does not hold.")
        if done.refused > len(done.listed):
            self.say(f"Refused in all: {done.refused:,}.")
        for key_id in done.unproven:
            self.say(
                f"None of the versions that carry the key {key_id} verifies, so none was changed. Its secret is not "
                "the one that signed: set that, then run this again. Where all of them are quarantined, forget them."
            )

    def _end(self, done: Rotated) -> None:
        if done.refused or done.unproven:
            self.end(terminal.FAILED)
        if not done.resigned:
            self.end(terminal.NOTHING_TO_DO)


def _told(done: Rotated | None) -> dict[str, object] | None:
    if done is None:
        return None
    return {
        "key_id": done.key_id, "resigned": done.resigned, "refused": done.refused, "unproven": list(done.unproven),
        "listed": [{"version": str(each.pk), "name": str(each)} for each in done.listed],
    }  # fmt: skip


def _state(use: KeyUse) -> str:
    if use.signs:
        return "signs"
    if not use.known:
        return "not set here: these versions do not load"
    return "still needed: rotate, or keep it" if use.versions else "may go"
