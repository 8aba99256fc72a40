"""Keeps the secret key of one machine in its state folder; refuses to invent a second one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def secret_key(state_dir: Path) -> str:
    """Return the key of this state folder, made at the first call; the file is readable by its owner alone."""
    path = state_dir / "secret.key"
    if not path.exists():
        _create(path)
    return path.read_text(encoding="ascii").strip()


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(64), encoding="ascii")
    try:
        # A link, not a rename: of two first starts one wins, and both read the winner's key.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
