"""What has learned other numbers than a fit leaves is refused before compiled code is called with them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor, StackingRegressor
from sklearn.linear_model import LassoCV, Ridge
from sklearn.model_selection import KFold, TimeSeriesSplit
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeRegressor

from tests.training.trainers.pipelines_of import ROWS, TARGET, content, fitted, of
from tests.training.trainers.schemas import named, nodes, plain, schema_of, with_schema
from training.trainers import pipelines, preparations, structures
from training.trainers.places import StructureBroken

pytestmark = pytest.mark.requirement("R09")
Change = Callable[[Any], None]


def broken(estimator: Any, change: Change) -> bytes:
    """Return the file of an estimator that was changed after its fit."""
    made = copy.deepcopy(estimator)
    pipelines.TRAINER.load(content(made))
    change(made)
    return content(made)


def setting(name: str, value: Any) -> Change:
    return lambda estimator: setattr(estimator, name, value)


def encoded(**values: Any) -> Any:
    kinds = {"sparse_output": False, **values}
    return make_pipeline(OneHotEncoder(handle_unknown="ignore", **kinds), Ridge()).fit(ROWS[:, 2:].repeat(3, 1), TARGET)


FIVE = np.arange(5.0)
ENCODERS: list[tuple[dict[str, Any], str, Any]] = [
    ({}, "_n_features_outs", [2**20, 1, -(2**20)]),
    ({}, "_n_features_outs", [5, 5, 4]),
    ({}, "_n_features_outs", [5, 5, 5, 1]),
    ({}, "_n_features_outs", np.array([5, 5, 5])),
    ({}, "categories_", [FIVE, FIVE, FIVE[::-1].copy()]),
    ({}, "categories_", [FIVE, FIVE, np.array([0.0, 0, 1, 2, 3])]),
    ({}, "categories_", [FIVE, FIVE, np.array([0.0, 1, 2, np.nan, np.nan])]),
    ({}, "categories_", [FIVE, FIVE, FIVE.reshape(5, 1)]),
    # Their differences wrap round, and seem to be in order.
    ({}, "categories_", [FIVE, FIVE, np.array([127, -128, -127, -126, -125], np.int8)]),
    ({}, "categories_", [FIVE, FIVE, np.array([2**62, -(2**63), 0, 1, 2])]),
    ({}, "categories_", [FIVE, FIVE, np.array([True, False, True, False, True])]),
    ({}, "categories_", [FIVE, FIVE, np.array([4.0, 3.0, 2.0, 1.0, 0.0], object)]),
    ({}, "categories_", [FIVE, FIVE, np.array([0.0, "a", "b", "c", "d"], object)]),
    ({}, "categories_", [FIVE, FIVE]),
    ({}, "_infrequent_enabled", True),
    ({"drop": "first"}, "_drop_idx_after_grouping", np.array([0, 0, 5], dtype=object)),
    ({"drop": "first"}, "_drop_idx_after_grouping", np.array([0, 0, -1], dtype=object)),
    ({"drop": "first"}, "_drop_idx_after_grouping", np.array([0, 0, None], dtype=object)),
    ({"drop": "first"}, "_drop_idx_after_grouping", None),
    ({"max_categories": 3}, "_default_to_infrequent_mappings", [np.array([9, 9, 9, 9, 9])] * 3),
    ({"max_categories": 3}, "_default_to_infrequent_mappings", [np.array([-9, 1, 1, 1, 1])] * 3),
    ({"max_categories": 3}, "_default_to_infrequent_mappings", [None, None, None]),
    ({"max_categories": 3}, "_infrequent_indices", [np.array([9, 9, 9])] * 3),
    ({"max_categories": 3}, "_infrequent_enabled", False),
]


@pytest.mark.parametrize("number", range(len(ENCODERS)))
def test_an_encoder_that_counts_wrong_is_refused(number: int) -> None:
    values, name, value = ENCODERS[number]
    with pytest.raises(StructureBroken, match="OneHotEncoder"):
        pipelines.TRAINER.load(broken(encoded(**values), lambda each: setattr(each[0], name, value)))


def test_categories_far_apart_and_with_what_is_missing_are_sound() -> None:
    for categories in (np.array([-120, 100], np.int8), np.array([False, True]), np.array(["a", None, np.nan], object)):
        assert preparations._are_told_apart(categories)


def unions(*branches: int) -> Pipeline:
    steps = [FeatureUnion([(f"t{place}", "passthrough") for place in range(count)]) for count in branches]
    return make_pipeline(StandardScaler(), *steps, DummyRegressor())


def test_branches_that_multiply_are_refused_before_a_row_goes_through_them() -> None:
    assert pipelines.TRAINER.load(content(unions(5, 5).fit(ROWS, TARGET)))
    wide = unions(2, 2).fit(ROWS, TARGET)
    with pytest.raises(StructureBroken, match="Pipeline"):
        pipelines.TRAINER.load(broken(wide, lambda each: widen(each, 400)))


def widen(pipeline: Pipeline, branches: int) -> None:
    for union in pipeline[1:3]:
        union.transformer_list = [(f"t{place}", "passthrough") for place in range(branches)]


@pytest.mark.parametrize("dtype", ["U200000", "S9", "O", "no such", "f8,f8"])
def test_an_array_is_never_made_of_what_has_no_known_size(dtype: str) -> None:
    ordinal = make_pipeline(OrdinalEncoder(), Ridge()).fit(ROWS, TARGET)
    assert pipelines.TRAINER.load(broken(ordinal, lambda each: setattr(each[0], "dtype", "float32")))
    with pytest.raises(StructureBroken, match="dtype of a OrdinalEncoder"):
        pipelines.TRAINER.load(broken(ordinal, lambda each: setattr(each[0], "dtype", dtype)))


@pytest.mark.parametrize("count", [np.array([1, 2]), "1", True, [1]])
def test_how_many_values_are_predicted_is_a_number(count: object) -> None:
    with pytest.raises(StructureBroken, match="is no number"):
        pipelines.TRAINER.load(broken(Ridge().fit(ROWS, TARGET), lambda each: setattr(each, "n_outputs_", count)))


def test_how_a_fit_split_its_data_is_no_part_of_what_predicts() -> None:
    for estimator in (LassoCV(cv=TimeSeriesSplit(3)), StackingRegressor([("a", Ridge())], cv=KFold(3))):
        loaded = pipelines.TRAINER.load(content(estimator.fit(ROWS, TARGET)))
        assert loaded.estimator.cv is None
        assert np.allclose(loaded.estimator.predict(ROWS), estimator.predict(ROWS))


def test_a_step_that_a_search_left_out_may_come_first() -> None:
    left_out = Pipeline([("scale", "passthrough"), ("ridge", Ridge())]).fit(ROWS, TARGET)
    assert np.allclose(pipelines.TRAINER.load(content(left_out)).estimator.predict(ROWS), left_out.predict(ROWS))


def test_the_encoder_inside_of_another_is_looked_at() -> None:
    bins = of("KBinsDiscretizer").fit(ROWS, TARGET)
    with pytest.raises(StructureBroken, match="OneHotEncoder"):
        pipelines.TRAINER.load(broken(bins, lambda each: setattr(each[0]._encoder, "_n_features_outs", [9, 9, 9])))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_n_out_full", 2**33),
        ("n_output_features_", 12),
        ("_max_degree", 3),
        ("_min_degree", 1),
        ("degree", 10**9),
        ("degree", (0, 30)),
        ("n_features_in_", 2**40),
    ],
)
def test_a_polynomial_makes_as_many_columns_as_its_parameters_say(name: str, value: Any) -> None:
    made = make_pipeline(StandardScaler(), PolynomialFeatures(2), Ridge()).fit(ROWS, TARGET)
    with pytest.raises(StructureBroken, match="PolynomialFeatures"):
        pipelines.TRAINER.load(broken(made, lambda each: setattr(each[1], name, value)))


@pytest.mark.parametrize(("degree", "columns"), [(60, 1), (40, 3)])
def test_a_polynomial_of_more_columns_than_are_served_is_refused(degree: int, columns: int) -> None:
    made = make_pipeline(PolynomialFeatures(degree), Ridge()).fit(np.zeros((3, columns)), TARGET[:3])
    names = ["a", "b", "c"][:columns]
    with pytest.raises(StructureBroken, match="PolynomialFeatures"):
        pipelines.TRAINER.load(content(made, feature_names=names))


def test_a_target_encoder_encodes_every_column() -> None:
    made = make_pipeline(TargetEncoder(target_type="continuous"), Ridge()).fit(ROWS.round(), TARGET)
    for name, value in (("encodings_", []), ("target_type_", "multiclass"), ("_infrequent_enabled", True)):
        changed = copy.deepcopy(made)
        setattr(changed[0], name, value)
        with pytest.raises(StructureBroken, match="TargetEncoder"):
            pipelines.TRAINER.load(content(changed))


def _no_mapper(each: Any) -> None:
    other = StandardScaler().fit(ROWS)
    vars(other).update({name: value for name, value in vars(each._bin_mapper).items() if name != "copy"})
    each._bin_mapper = other


def _categorical(each: Any) -> None:
    each._bin_mapper.is_categorical_ = np.array([0, 1, 0], dtype=np.uint8)


def _fewer_bits(each: Any) -> None:
    each._bin_mapper.is_categorical_ = np.zeros(2, dtype=np.uint8)


def _fewer_edges(each: Any) -> None:
    each._bin_mapper.bin_thresholds_ = each._bin_mapper.bin_thresholds_[:2]


def _strange_link(each: Any) -> None:
    each._loss.link = StandardScaler()


def _no_nodes(each: Any) -> None:
    each._predictors[0][0].nodes = each._predictors[0][0].nodes[:0]


def _two_at_once(each: Any) -> None:
    each._predictors[0] = each._predictors[0] * 2


@pytest.mark.parametrize(
    "change",
    [
        setting("_preprocessor", StandardScaler().fit(ROWS)),
        setting("_in_fit", True),
        setting("n_trees_per_iteration_", 2**40),
        setting("_baseline_prediction", np.zeros((1, 2))),
        setting("_loss", None),
        _no_mapper,
        _categorical,
        _fewer_bits,
        _fewer_edges,
        _no_nodes,
        _two_at_once,
    ],
    ids=itertools.count(),
)
def test_histograms_that_are_not_as_fitted_are_refused(change: Change) -> None:
    with pytest.raises(StructureBroken, match="HistGradientBoostingRegressor"):
        pipelines.TRAINER.load(broken(fitted("histograms"), change))


@pytest.mark.parametrize("change", [setting("_loss", None), setting("_loss", Ridge())], ids=["none", "ridge"])
def test_boosting_has_a_loss_of_the_list(change: Change) -> None:
    with pytest.raises(StructureBroken, match="GradientBoostingRegressor"):
        pipelines.TRAINER.load(broken(GradientBoostingRegressor(n_estimators=2).fit(ROWS, TARGET), change))


@pytest.mark.parametrize("name", ["boosting from zero, huber", "histograms"])
def test_a_loss_has_a_link_of_the_list(name: str) -> None:
    with pytest.raises(StructureBroken):
        pipelines.TRAINER.load(broken(fitted(name), _strange_link))


@pytest.mark.parametrize(
    "change",
    [
        setting("n_outputs_", 2**40),
        setting("constant_", np.zeros((1, 10))),
        setting("constant_", np.array([["text"]])),
    ],
    ids=["outputs", "shape", "text"],
)
def test_a_constant_is_one_number(change: Change) -> None:
    with pytest.raises((StructureBroken, structures.OutputsDiffer)):
        pipelines.TRAINER.load(broken(DummyRegressor().fit(ROWS, TARGET), change))


@pytest.mark.parametrize("method", ["fit", "_validate_X_predict", "__setstate__"])
def test_a_stack_calls_what_predicts_alone(method: str) -> None:
    with pytest.raises(StructureBroken, match="StackingRegressor"):
        pipelines.TRAINER.load(broken(fitted("stacking"), setting("stack_method_", [method] * 2)))


@pytest.mark.parametrize("name", ["RFE", "SelectFromModel"])
def test_a_selection_looks_up_nothing_hidden(name: str) -> None:
    made = of(name).fit(ROWS, TARGET)
    with pytest.raises(StructureBroken, match=name):
        pipelines.TRAINER.load(
            broken(made, lambda each: setattr(each[0], "importance_getter", "__class__.__init__.__globals__"))
        )


TWO = np.column_stack([TARGET, TARGET])


SEVERAL = [
    Ridge(),
    MLPRegressor(hidden_layer_sizes=(2,), max_iter=1),
    KNeighborsRegressor(),
    RandomForestRegressor(2),
]


@pytest.mark.parametrize("made", SEVERAL, ids=range(4))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_predicts_two_targets_is_refused(made: Any) -> None:
    with pytest.raises((structures.OutputsDiffer, StructureBroken)):
        pipelines.TRAINER.load(content(made.fit(ROWS, TWO)))


def test_two_targets_are_told_as_such_and_one_column_is_one() -> None:
    with pytest.raises(structures.OutputsDiffer, match="predicts 2 values") as caught:
        pipelines.TRAINER.load(content(Ridge().fit(ROWS, TWO)))
    assert "one regression for each target" in caught.value.next_step
    pipelines.TRAINER.load(content(Ridge().fit(ROWS, TARGET.reshape(-1, 1)))).try_out()


def test_a_tree_of_no_nodes_or_of_others_than_were_looked_at_is_refused() -> None:
    data = content(DecisionTreeRegressor(max_depth=2).fit(ROWS, TARGET))
    schema = schema_of(data)
    tree = next(node for node in nodes(schema) if node["__loader__"] == "TreeNode")["content"]
    tree["content"]["node_count\0"] = plain(10**6)
    tree["key_types"]["content"].append(named("numpy.str_", "TypeNode"))
    with pytest.raises(StructureBroken):
        pipelines.TRAINER.load(with_schema(data, schema))
    assert not structures._is_walkable([], [], [], 3)
