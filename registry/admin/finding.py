"""What is typed into a search box: the models that it names first, then their rows by the models' numbers.

One condition over joined tables would read all of them. Texts that no index holds are looked for in the newest rows
alone, and the box says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from registry.admin import base
from registry.models import RegisteredModel

WHERE = "Part of an entity"
MOST_MODELS = 200  # a term that names more is found among the first rows of any order
NEWEST = 10_000


class ByEntity:
    """A table, as a mixin of admins, whose rows are found by the entity of their registered model."""

    entity_path = "registered_model"
    searched_newest: tuple[str, ...] = ()
    """Columns that a search looks at as well, in the newest rows."""

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Return the rows that a term finds, none of them twice."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(self.searched(term, request, queryset)), False

    def searched(self, term: str, request: HttpRequest, rows: QuerySet[Any]) -> Q:
        """Return the condition of a term."""
        return condition(term, request, rows, path=self.entity_path, also=self.searched_newest)


def condition(term: str, request: HttpRequest, rows: QuerySet[Any], *, path: str, also: Sequence[str] = ()) -> Q:
    """Return the condition of a term: part of an entity's key, or of the columns `also` of the newest rows.

    `path` leads from a row to its registered model.
    """
    models = base.scoped(RegisteredModel.objects.order_by(), request, "fleet__tenant")
    named = list(models.filter(entity_key__icontains=term).values_list("pk", flat=True)[: MOST_MODELS + 1])
    if len(named) > MOST_MODELS:
        return Q(**{f"{path}__entity_key__icontains": term})
    found = _of_models(rows, path, named)
    return found | _in_newest(term, rows, also) if also else found


def _of_models(rows: QuerySet[Any], path: str, models: Sequence[int]) -> Q:
    head, _, rest = path.partition("__")
    if not rest:
        return Q(**{f"{head}__in": models})
    # Beside another condition a join would be read whole, this is looked up once.
    related: Any = rows.model._meta.get_field(head).related_model
    between = related._default_manager.order_by().filter(**{f"{rest}__in": models})
    return Q(**{f"{head}__in": between.values("pk")})


def _in_newest(term: str, rows: QuerySet[Any], columns: Sequence[str]) -> Q:
    oldest = rows.model._default_manager.order_by("-pk").values_list("pk", flat=True)[NEWEST : NEWEST + 1]
    texts = Q()
    for column in columns:
        texts |= Q(**{f"{column}__icontains": term})
    return texts & Q(pk__gt=bound) if (bound := oldest.first()) is not None else texts
