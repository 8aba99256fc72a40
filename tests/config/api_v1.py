"""`python -m tests.config.api_v1`: writes what clients of /api/v1 may rely on. Read the difference before a commit."""

from __future__ import annotations

import json
import os

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from tests.config import test_rest_docs

    test_rest_docs.PROMISED.write_text(json.dumps(test_rest_docs.promises(), indent=1, sort_keys=True) + "\n")
