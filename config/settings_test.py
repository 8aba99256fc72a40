"""Settings of the tests: real PostgreSQL and Redis of their own state folder, started here unless URLs are set."""

import os
from pathlib import Path

from local import servers

os.environ.setdefault("PERENNIAL_STATE_DIR", str(Path(__file__).resolve().parent.parent / ".state" / "test"))
# Processes that share the tests (`pytest -n 2`) share no server: some tests empty theirs, and the ledger shows nothing
# that a transaction of the same server may still precede. What the first process has started is in their environment.
worker, started = os.environ.get("PYTEST_XDIST_WORKER"), os.environ.get("STARTED_FOR_TESTS", "")
if worker and started:
    os.environ["PERENNIAL_STATE_DIR"] += f"-{worker}"
    for name in started.split():
        del os.environ[name]
os.environ["STARTED_FOR_TESTS"] = "" if worker else " ".join({"DATABASE_URL", "REDIS_URL"} - set(os.environ))
os.environ["PERENNIAL_PROFILE"] = "local"

servers.export(servers.attach(state_dir=Path(os.environ["PERENNIAL_STATE_DIR"]), durable=False))

# Behind the servers on purpose: the settings read the URLs that were exported just now.
from config.settings import *  # noqa: E402, F403
from config.settings import PERENNIAL_REGISTRY  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
PERENNIAL_REGISTRY["signing_keys"] = "test:only-for-tests"
# Every client of a test makes the middleware anew, which would look through all static files each time.
WHITENOISE_AUTOREFRESH = True
