"""Owns how a child process starts so that it cannot outlive its parent; refuses to leave one behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

# Constants of <linux/prctl.h> and <linux/sched.h>; os.unshare appears in Python 3.12.
PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000

LINUX = platform.system() == "Linux"
LIBC = ctypes.CDLL(None, use_errno=True)


def spawn(
    argv: Sequence[str],
    *,
    output: int | IO[bytes],
    death_signal: signal.Signals,
    become: Callable[[], None] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own; the kernel sends it `death_signal` when this process ends (Linux).

    `become` runs in the child before the program and may change its user.
    """
    parent = os.getpid()

    def before_exec() -> None:
        if become is not None:
            become()
        # After `become`: the kernel forgets the signal when the user changes.
        tie_to_parent(parent, death_signal)

    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # Python offers no other way to the kernel's parent-death signal; the callers have one thread.
        preexec_fn=before_exec,
        env=env,
        cwd=cwd,
    )


def tie_to_parent(parent: int, death_signal: signal.Signals) -> None:
    """Ask the kernel for `death_signal` when the parent ends; a no-op where the kernel cannot (macOS)."""
    if not LINUX:
        return
    LIBC.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def enter_user_namespace() -> None:
    """Make the calling process nobody to itself while it keeps its files. Raises OSError where that is blocked."""
    if LIBC.unshare(CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def is_alive(process: int) -> bool:
    """Whether a process with this number exists, also one of another user."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def command_line(process: int) -> str:
    """The arguments of a process joined by blanks, or "" where it is gone or a zombie."""
    if LINUX:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return ""
    argv = ["ps", "-o", "command=", "-p", str(process)]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=5).stdout.strip()


def kill_group(leader: int) -> None:
    """End every process of the session that `leader` opened, also when the leader itself is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
