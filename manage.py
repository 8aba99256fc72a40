#!/usr/bin/env python3
"""Owns the start of every command: environment, local servers, then Django. Refuses to run without `make setup`."""

import importlib.util
import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent

# They need settings, but neither a database nor a broker.
SERVERLESS = {"", "help", "version", "--help", "-h", "--version", "spectacular", "collectstatic", "compilemessages"}


def main() -> None:
    """Run one Django command with real servers under it."""
    use_project_environment()
    read_env_file()
    prepare_process()
    if os.environ.get("PERENNIAL_PROFILE") != "production":
        provide_servers(sys.argv[1] if len(sys.argv) > 1 else "")
    run_command()


def run_command() -> None:
    """Run the command; a setting that is wrong ends it with its sentence and status 2, not with a traceback."""
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(2)


def use_project_environment() -> None:
    """Continue in the interpreter of `.venv` where this one has no Django; end with a sentence where there is none."""
    if importlib.util.find_spec("django") is not None:
        return
    python = PROJECT / ".venv" / "bin" / "python"
    if not python.exists() or Path(sys.prefix).resolve() == PROJECT / ".venv":
        sys.exit("The environment of this project is not set up. Run `make setup`, then try again.")
    os.execv(python, [str(python), *sys.argv])


def read_env_file() -> None:
    """Take what `.env` sets and the environment does not, before it decides which servers are needed."""
    import environ

    environ.Env.read_env(PROJECT / ".env")


def prepare_process() -> None:
    """Set what must stand before the scientific libraries are imported, here and in every child."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # One fit, one core: with more, the fits of a worker pool fight each other, measured 14 times slower.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    # Without bytecode every worker compiles every library again, about ten seconds for each.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def provide_servers(command: str) -> None:
    """Attach to this machine's servers and put their addresses into the environment."""
    from local import errors, servers

    try:
        servers.export(servers.addresses() if command in SERVERLESS else servers.attach())
    except errors.LocalError as refusal:
        sys.exit(str(refusal))


if __name__ == "__main__":
    main()
