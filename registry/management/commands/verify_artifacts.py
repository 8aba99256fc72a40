"""`manage.py verify_artifacts`: reads every stored artifact, and says which are not what was registered."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from registry import lifecycle, terminal, timestamps
from registry.errors import PerennialError
from registry.models import ModelVersion
from registry.upkeep import verification
from registry.upkeep.verification import Checked

# More than people read; the numbers go on.
TOLD = 1000
QUARANTINED_AT_ONCE = 500


@dataclass
class _Sum:
    """What was seen so far; the lists hold the first of each."""

    checked: int = 0
    read_bytes: int = 0
    broken: int = 0
    unjudged: int = 0
    quarantined: int = 0
    told: list[dict[str, object]] = field(default_factory=list)
    releasable: list[ModelVersion] = field(default_factory=list)


class Command(terminal.Command):
    """Read, verify, tell; quarantine where asked."""

    writes = True
    help = (
        "Read every stored artifact and verify its size, digest and signature. Ends 0 where all hold, 1 where any does "
        "not, 3 where there is none."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--fleet", help="this fleet alone")
        parser.add_argument("--tenant", help="owner of the fleet, where two tenants have one of this name")
        parser.add_argument(
            "--quarantine", action="store_true", help="keep what is broken from being loaded and placed"
        )
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Tell each refusal as it is found, then the sum."""
        fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"]) if options["fleet"] else None
        seen = _Sum()
        waiting: list[UUID] = []
        for checked in verification.check(fleet=fleet):
            self._note(seen, checked, is_json=options["json"])
            if options["quarantine"] and checked.is_broken:
                waiting.append(checked.version.pk)
            if len(waiting) >= QUARANTINED_AT_ONCE:
                seen.quarantined += _quarantine(waiting)
                waiting = []
        seen.quarantined += _quarantine(waiting)
        self._tell(seen, options)
        refused = seen.broken + seen.unjudged
        self.end(terminal.NOTHING_TO_DO if not seen.checked else terminal.FAILED if refused else terminal.DONE)

    def _note(self, seen: _Sum, checked: Checked, *, is_json: bool) -> None:
        seen.checked += 1
        if checked.can_be_released and len(seen.releasable) < TOLD:
            seen.releasable.append(checked.version)
        if (refused := checked.refused) is None:
            seen.read_bytes += checked.version.artifact_size
            return
        seen.broken += checked.is_broken
        seen.unjudged += not checked.is_broken
        if len(seen.told) < TOLD:
            seen.told.append(_told(checked, refused))
            if not is_json:
                self.say(f"{checked.version}, {checked.version.state}: {refused.code}. {refused}")

    def _tell(self, seen: _Sum, options: dict[str, Any]) -> None:
        if options["json"]:
            counts = {name: getattr(seen, name) for name in ("checked", "broken", "unjudged", "quarantined")}
            read = {"read_bytes": seen.read_bytes}
            lists = {"refused": seen.told, "can_be_released": [str(each.pk) for each in seen.releasable]}
            self.print_json({**counts, **read, **lists})
            return
        if not seen.checked:
            self.say("No version is stored yet: nothing to verify.")
            return
        held = seen.checked - seen.broken - seen.unjudged
        self.say(f"{held:,} of {seen.checked:,} versions hold, {seen.read_bytes:,} bytes read.")
        if seen.broken:
            self.say(_advice(seen, asked=options["quarantine"]))
        if seen.releasable:
            self.say(f"Quarantined, but sound: {', '.join(map(str, seen.releasable))}. Release them to use them again.")


def _advice(seen: _Sum, *, asked: bool) -> str:
    if asked:
        return (
            f"{seen.broken:,} broken, of which {seen.quarantined:,} were quarantined now. Put the files back from a "
            "backup and release the versions, or retrain the models."
        )
    return f"{seen.broken:,} broken. Next: run it with --quarantine, or put the files back from a backup."


def _quarantine(version_ids: list[UUID]) -> int:
    if not version_ids:
        return 0
    done = lifecycle.quarantine(
        version_ids,
        actor=terminal.actor(),
        reason="Its artifact did not verify.",
        at=timestamps.utc_now(),
        cause="verification",
    )
    return len(done.changed)


def _told(checked: Checked, refused: PerennialError) -> dict[str, object]:
    version = checked.version
    return {
        "version": str(version.pk), "name": str(version), "state": version.state, **refused.plain(),
    }  # fmt: skip
