"""`manage.py orphans`: what store and rows do not agree on, in both directions. Changes only what it is asked to."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from registry import display, terminal, timestamps
from registry.models import ModelVersion
from registry.retention import orphans
from registry.retention.objects import Removed
from registry.store import Entry

SHOWN = 20
MOST = 1000
"""Most of each kind that are named; the counts are of all."""


class Command(terminal.Command):
    """Walk the store, tell, and where asked delete or quarantine."""

    writes = True
    help = "List files of the artifact store that no version needs, and versions whose file is missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--delete",
            action="store_true",
            help="remove the files that no version needs; packed files that are mostly unneeded are written anew",
        )
        parser.add_argument("--quarantine", action="store_true", help="quarantine the versions whose file is missing")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Go through the store folder by folder; ends 1 where versions have no file."""
        now = timestamps.utc_now()
        strays: list[Entry] = []
        absent: list[UUID] = []
        told = {
            "objects": 0,
            "strays": 0,
            "stray_bytes": 0,
            "absent": 0,
            "deleted": 0,
            "freed": 0,
            "quarantined": 0,
            "compacted": 0,
        }
        for folder in range(orphans.FOLDERS):
            compacted = orphans.compact(folder) if options["delete"] else 0
            found = orphans.look(folder, at=now)
            removed = orphans.delete(found, at=now) if options["delete"] else Removed()
            quarantined = orphans.quarantine(found, actor=terminal.actor(), at=now) if options["quarantine"] else 0
            counts = {
                "objects": found.objects, "strays": len(found.strays), "absent": len(found.absent),
                "stray_bytes": sum(each.size for each in found.strays), "deleted": removed.objects,
                "freed": removed.size, "quarantined": quarantined, "compacted": compacted,
            }  # fmt: skip
            told = {name: value + counts[name] for name, value in told.items()}
            strays += found.strays[: MOST - len(strays)]
            absent += found.absent[: MOST - len(absent)]
        tidied = orphans.sweep_temporary(at=now) if options["delete"] else ()
        told["temporary"] = sum(each.files for each in tidied)
        self._tell(told, strays, absent, options)
        if absent and not options["quarantine"]:
            self.end(terminal.FAILED)

    def _tell(
        self, told: dict[str, int], strays: Sequence[Entry], absent: Sequence[UUID], options: dict[str, Any]
    ) -> None:
        names = {each.pk: str(each) for each in _described(absent)}
        if options["json"]:
            files = [{"key": each.key, "bytes": each.size, "modified": each.modified} for each in strays]
            versions = [{"id": each, "version": names.get(each)} for each in absent]
            self.print_json({**told, "files": files, "versions": versions})
            return
        if strays:
            rows = [(each.key, f"{each.size:,}", f"{each.modified:%Y-%m-%d %H:%M}") for each in strays[:SHOWN]]
            self.console.print(terminal.table("Files that no version needs", ["key", "bytes>", "written"], rows))
            self.say()
        if absent:
            lines = [(names.get(each), each) for each in absent[:SHOWN]]
            self.console.print(terminal.table("Versions without their file", ["version", "id"], lines))
            self.say()
        for line in _lines(told, options):
            self.say(line)


def _described(version_ids: Sequence[UUID]) -> Sequence[ModelVersion]:
    return list(ModelVersion.objects.select_related("registered_model__fleet").filter(pk__in=version_ids))


def _lines(told: dict[str, int], options: dict[str, Any]) -> list[str]:
    lines = [
        f"{display.counted(told['objects'], 'file')}; {told['strays']:,} that no version needs "
        f"({told['stray_bytes']:,} bytes); {display.counted(told['absent'], 'version')} without a file."
    ]
    if options["delete"]:
        lines.append(
            f"Deleted {display.counted(told['deleted'], 'file')}, {told['freed']:,} bytes, "
            f"and {told['temporary']:,} half-written ones."
        )
    elif told["strays"]:
        lines.append("Nothing was deleted. To delete them: --delete")
    if options["quarantine"]:
        lines.append(f"Quarantined {display.counted(told['quarantined'], 'version')}.")
    elif told["absent"]:
        lines.append("Put their files back from a backup, or keep them from being loaded: --quarantine")
    return lines
