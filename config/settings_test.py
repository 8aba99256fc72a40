"""Settings of the tests: real PostgreSQL and Redis of their own state folder, started here unless URLs are set."""

import os
from pathlib import Path

os.environ.setdefault("PERENNIAL_STATE_DIR", str(Path(__file__).resolve().parent.parent / ".state" / "test"))
os.environ["PERENNIAL_PROFILE"] = "local"

from local import servers

servers.export(servers.attach(state_dir=Path(os.environ["PERENNIAL_STATE_DIR"]), durable=False))

# Behind the servers on purpose: the settings read the URLs that were exported just now.
from config.settings import *  # noqa: E402, F403
from config.settings import PERENNIAL_REGISTRY  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
PERENNIAL_REGISTRY["signing_keys"] = "test:only-for-tests"
