"""One pattern of entity keys, in the tables and where rows are read."""

from registry.models import ENTITY_KEY
from training import normal_form


def test_the_pattern_of_entity_keys_is_that_of_the_registry() -> None:
    assert normal_form.ENTITY_KEY.pattern == ENTITY_KEY
