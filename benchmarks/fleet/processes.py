"""Owns what /proc says of trees of processes: who they are, their peak memory, the processor time of them all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROLES = ("beat", "control@", "interactive@", "training@", "looking@")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One process as it was found."""

    pid: int
    parent: int
    seconds: float
    """Of the processor, with those of its children that have ended."""
    role: str


def below(roots: Iterable[int]) -> list[Seen]:
    """Return these processes and all that descend from them."""
    found = {int(each.name): stat for each in Path("/proc").iterdir() if each.name.isdigit() and (stat := _stat(each))}
    wanted = set(roots)
    return [
        Seen(pid=pid, parent=parent, seconds=seconds, role=_role(pid))
        for pid, (parent, seconds) in found.items()
        if _descends(pid, found, wanted)
    ]


def seconds(some: Iterable[Seen]) -> dict[str, float]:
    """Return the processor time by role; what has none belongs to the one that is nearest above it."""
    known = {each.pid: each for each in some}
    found: dict[str, float] = {}
    for each in known.values():
        role = next((above.role for above in _line(each, known) if above.role), "other")
        found[role] = found.get(role, 0.0) + each.seconds
    return found


def peaks(some: Iterable[Seen]) -> dict[str, float]:
    """Return the highest peak of resident memory (VmHWM) among the processes of each role, in MiB."""
    found: dict[str, float] = {}
    for each in some:
        if each.role:
            found[each.role] = max(found.get(each.role, 0.0), _peak(each.pid))
    return found


def children(some: Iterable[Seen], role: str) -> list[int]:
    """Return the processes of a role that another one of it has forked."""
    mine = {each.pid for each in some if each.role == role}
    return sorted(each.pid for each in some if each.pid in mine and each.parent in mine)


def own_seconds(pid: int) -> float:
    """Return the processor time of one process; 0 where it is gone."""
    found = _stat(Path(f"/proc/{pid}"))
    return found[1] if found else 0.0


def _line(each: Seen, known: Mapping[int, Seen]) -> Iterator[Seen]:
    at: Seen | None = each
    while at is not None:
        yield at
        at = known.get(at.parent)


def _stat(process: Path) -> tuple[int, float] | None:
    with contextlib.suppress(OSError):
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        return int(fields[1]), sum(map(int, fields[11:15])) / _TICKS
    return None


def _descends(pid: int, found: Mapping[int, tuple[int, float]], roots: set[int]) -> bool:
    while pid in found and pid not in roots:
        pid = found[pid][0]
    return pid in roots


def _role(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        return next((role.rstrip("@") for role in ROLES for word in words if word.startswith(role)), "")
    return ""


def _peak(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return round(int(line.split()[1]) / 1024, 1)
    return 0.0
