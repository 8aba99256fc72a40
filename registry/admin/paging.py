"""Pages of long lists without an exact COUNT: counts up to a bound, then says that there are more."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator

BOUND = 10_000  # a COUNT up to here stays under 10 ms; nobody pages further, they filter


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # unbound in django-stubs' admin too
    """Offers at most the first `BOUND` rows."""

    template_name = "registry/admin/pagination.html"

    @cached_property
    def more(self) -> bool:
        """Whether the list is longer than what is counted and offered."""
        return self._counted > BOUND

    @cached_property
    def count(self) -> int:
        return min(self._counted, BOUND)

    @cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        return int(rows[: BOUND + 1].count()) if hasattr(rows, "query") else len(rows)
