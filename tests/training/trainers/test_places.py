"""What stands where no fit puts it is refused, whatever it is and however often a file holds it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import GradientBoostingRegressor, VotingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import Bunch

from tests.training.trainers.pipelines_of import ROWS, TARGET, content, fitted
from tests.training.trainers.schemas import Schema, named, nodes, plain, schema_of, with_schema
from training.trainers import pipelines, skops_files, trusted
from training.trainers.base import ForecasterUnreadable
from training.trainers.places import StructureBroken

pytestmark = pytest.mark.requirement("R09")


def boosting() -> Any:
    return GradientBoostingRegressor(n_estimators=2).fit(ROWS, TARGET)


def histograms() -> Any:
    return copy.deepcopy(fitted("histograms"))


PARTS: dict[str, Callable[[], Any]] = {
    "tree": lambda: fitted("tree").tree_,
    "predictor": lambda: histograms()._predictors[0][0],
    "mapper": lambda: histograms()._bin_mapper,
    "loss": lambda: boosting()._loss,
    "link": lambda: boosting()._loss.link,
    "compiled loss": lambda: boosting()._loss.closs,
    "interval": lambda: boosting()._loss.interval_y_true,
    "optimizer": lambda: fitted("network")[-1]._optimizer,
    "function": lambda: np.absolute,
    "type": lambda: np.float64,
    "dtype": lambda: np.dtype(np.float64),
    "bunch": lambda: Bunch(link=1),
    "records": lambda: np.zeros(3, dtype=[("a", "f8")]),
    "foreign order": lambda: np.zeros(3, dtype=">f8"),
    "times": lambda: np.zeros(3, dtype="datetime64[s]"),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_stands_in_its_own_place_alone(part: str) -> None:
    made = PARTS[part]()
    step = make_pipeline(StandardScaler(), Ridge()).fit(ROWS, TARGET)
    step.steps.insert(1, ("part", made))
    member = VotingRegressor([("one", Ridge()), ("two", Ridge())]).fit(ROWS, TARGET)
    member.estimators_ = [made, made]
    attribute = Ridge().fit(ROWS, TARGET)
    attribute.coef_ = made
    boosted = boosting()
    boosted._loss = Bunch(link=made)
    function = make_pipeline(StandardScaler(), Ridge()).fit(ROWS, TARGET)
    function[0].mean_ = {"deep": [(made,)]}
    for each in (step, member, attribute, boosted, function):
        with pytest.raises(ForecasterUnreadable, match="has no place"):
            pipelines.TRAINER.load(content(each))
    with pytest.raises(ForecasterUnreadable, match="has no place"):
        pipelines.TRAINER.load(content(fitted("lasso"), more=[made]))


def test_an_alias_of_a_tree_is_looked_at_wherever_it_stands() -> None:
    voting = copy.deepcopy(fitted("voting"))
    voting.estimators_[1] = voting.estimators_[0].tree_
    data = content(voting)
    assert sum(node["__loader__"] == "TreeNode" for node in nodes(schema_of(data))) > 1
    with pytest.raises(StructureBroken, match="Tree has no place as estimators_"):
        pipelines.TRAINER.load(data)


def test_a_type_is_no_function() -> None:
    for name in ("func", "inverse_func"):
        made = make_pipeline(FunctionTransformer(np.absolute), Ridge()).fit(ROWS, TARGET)
        setattr(made[0], name, np.float32)
        with pytest.raises(StructureBroken, match="has no place"):
            pipelines.TRAINER.load(content(made))


def test_no_source_of_randomness_is_made_and_elsewhere_it_is_refused() -> None:
    data = content(fitted("own randomness"))
    schema = schema_of(data)
    [state] = [node for node in nodes(schema) if node["__loader__"] == "RandomStateNode"]
    state["content"] = plain("broken")
    assert pipelines.TRAINER.load(with_schema(data, schema)).estimator.random_state is None
    with pytest.raises(skops_files.KindNotTrusted):
        skops_files.load(skops.io.dumps([np.random.RandomState(3)]), kinds=trusted.ALL, format="any")


# -- mappings that are made of less than was looked at


def a_mapping(change: Callable[[Schema], None]) -> bytes:
    data = content(fitted("lasso"))
    schema = schema_of(data)
    state = next(node for node in nodes(schema) if node["__class__"] == "StandardScaler")["content"]
    change(state)
    return with_schema(data, schema)


def _fewer(state: Schema) -> None:
    state["key_types"]["content"].pop()


def _none(state: Schema) -> None:
    state["key_types"]["content"] = []


def _unseen(state: Schema) -> None:
    state["content"]["unseen"] = named("sklearn.linear_model._ridge.Ridge", "ObjectNode", content=plain([1]))


def _more(state: Schema) -> None:
    state["key_types"]["content"].append(named("builtins.str", "TypeNode"))


def _texts_that_end_alike(state: Schema) -> None:
    state["content"]["copy\0"] = plain(1)
    state["key_types"]["content"].append(named("numpy.str_", "TypeNode"))


def _one_key_twice(state: Schema) -> None:
    state["content"] |= {"1": plain(1), "01": plain(2)}
    state["key_types"]["content"] += [named("builtins.int", "TypeNode")] * 2


def _others(state: Schema) -> None:
    state["key_types"] = plain(["str"] * len(state["content"]))


@pytest.mark.parametrize("change", [_fewer, _none, _unseen, _more, _texts_that_end_alike, _one_key_twice, _others])
def test_a_mapping_has_as_many_keys_as_values(change: Callable[[Schema], None]) -> None:
    with pytest.raises(StructureBroken, match="mapping"):
        pipelines.TRAINER.load(a_mapping(change))


def test_what_cannot_be_made_is_a_refusal() -> None:
    def strange(state: Schema) -> None:
        state["content"]["copy"] = named("sklearn.linear_model._ridge.Ridge", "ObjectNode", content=plain([1]))

    with pytest.raises(ForecasterUnreadable, match="No object can be made"):
        pipelines.TRAINER.load(a_mapping(strange))
