"""Owns when a container of many artifacts is worth writing anew: once less than half of it is needed.

The needed artifacts move to a new place and the rows follow; the old object is then nobody's, and young. Refuses to
move what does not verify.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.db import connection, transaction

from registry import artifacts, errors, history, ownership
from registry.artifacts import Stored
from registry.models import ModelVersion

logger = logging.getLogger(__name__)

# The same bytes may belong to several versions; they count once.
_WASTEFUL = """
SELECT container FROM (
    SELECT artifact_container AS container, artifact_offset, max(artifact_offset + artifact_size) AS ends,
           max(artifact_size) FILTER (WHERE state <> 'deleted') AS needed
    FROM registry_modelversion
    WHERE artifact_container <> '' AND artifact_container > %(after)s AND artifact_container < %(end)s
    GROUP BY artifact_container, artifact_offset
) AS part GROUP BY container HAVING sum(needed) * 2 < max(ends) ORDER BY container
"""
_MOVE = """
UPDATE registry_modelversion AS v SET artifact_container = place.container, artifact_offset = place.start
FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS place(digest, container, start)
WHERE v.artifact_container = %s AND v.artifact_container <> '' AND v.state <> 'deleted'
AND v.artifact_digest = place.digest
"""


def wasteful(folder: int) -> list[str]:
    """Return the containers of one of the store's 256 folders of which some, but less than half, is needed."""
    with connection.cursor() as cursor:
        cursor.execute(_WASTEFUL, {"after": f"{folder:02x}", "end": f"{folder:02x}g"})
        return [row[0] for row in cursor.fetchall()]


def compact(container: str) -> bool:
    """Move the needed artifacts of a container elsewhere; False where one of them cannot be read as its own.

    Call it outside a transaction. Raises StoreUnavailable.
    """
    rows = ModelVersion.objects.select_related("registered_model__fleet").exclude(state=ModelVersion.State.DELETED)
    versions = {each.artifact_digest: each for each in rows.filter(artifact_container=container)}
    contents: list[bytes] = []
    for found in artifacts.load_each(list(versions.values())):
        if isinstance(found, errors.PerennialError):
            logger.error("the container %s cannot be written anew: %s", container, found)
            return False
        contents.append(found)
    _renew(container)
    _move(container, artifacts.store(contents, format="container"))
    return True


def _renew(container: str) -> None:
    """Make the old object young: a dump of the database from before needs it until the files are copied too."""
    opened, key = ownership.artifact_store(), artifacts.key_of(container)
    opened.put(key, opened.get(key))


def _move(container: str, places: Sequence[Stored]) -> None:
    with transaction.atomic(durable=True):
        owners = ModelVersion.objects.filter(artifact_container=container).values_list("registered_model", flat=True)
        # In the order of everybody else: who changes versions of these models holds their locks first.
        history.lock(list(owners.distinct()))
        columns = [[each.digest for each in places], [each.container for each in places]]
        with connection.cursor() as cursor:
            cursor.execute(_MOVE, [*columns, [each.offset for each in places], container])
