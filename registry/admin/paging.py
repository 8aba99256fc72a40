"""Pages of long lists without an exact COUNT: up to a bound, beyond which the list says about how long it is."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator

from registry import counting

BOUND = counting.BOUND  # nobody pages further, they filter; the database reads and drops what lies before a page
COUNT_SECONDS = 0.06
UNCOUNTED = 500
"""Rows offered of a list that could not be counted in time: what lies far into it takes as long to be found."""


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # unbound in django-stubs' admin too
    """Offers at most the first `BOUND` rows."""

    template_name = "registry/admin/pagination.html"

    def page(self, number: Any) -> Any:
        """Return a page, its rows found by their keys alone, before anything is read along with them."""
        found = super().page(number)
        rows: Any = found.object_list
        if hasattr(rows, "query"):
            keys = list(rows.select_related(None).values_list("pk", flat=True))
            whole: Any = self.object_list
            found.object_list = list(whole.filter(pk__in=keys))
        return found

    @cached_property
    def more(self) -> bool:
        """Whether the list is longer than what is offered."""
        return not self.whole.is_exact

    @cached_property
    def unknown(self) -> bool:
        """Whether the list could not be counted in time and is expected to be shorter than what is offered."""
        return self.more and self.whole.number < self.count

    @cached_property
    def count(self) -> int:
        if not self.more:
            return self.whole.number
        return BOUND if self.whole.number > BOUND else UNCOUNTED

    @cached_property
    def whole(self) -> counting.Count:
        """How long the list is: exactly, or about."""
        rows: Any = self.object_list
        if not hasattr(rows, "query"):
            return counting.Count(number=len(rows))
        return counting.of(rows, bound=BOUND, seconds=COUNT_SECONDS)


def changelist(own: Any) -> Any:
    """Return a list's class that keeps to the columns of `sortable_by`, also where an address asks for others."""

    class Sorted(own):  # type: ignore[misc]  # Unfold's, which has no types
        """Sorts by no other column: Django hides the links alone."""

        def get_ordering_field(self, field_name: Any) -> Any:
            allowed = self.sortable_by is None or field_name in self.sortable_by
            return super().get_ordering_field(field_name) if allowed else None

    return Sorted
