"""Lists the benchmarks: `python -m benchmarks` runs none, `python -m benchmarks.NAME --json` runs one."""

from __future__ import annotations

import pkgutil
import sys

import benchmarks


def main() -> int:
    """Print the names; return 2, for no benchmark was named."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.ispkg]
    print(f"Name a benchmark: {', '.join(names)}." if names else "There is no benchmark yet.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
