"""Crafted skops files: nothing that they name is called, and nothing in them makes compiled code leave its arrays."""

from __future__ import annotations

import copy
import io
import os
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeRegressor
from sklearn.tree._tree import Tree
from skops.io import _general

from tests.registry import hostile_files
from tests.training.trainers import pipelines_of
from tests.training.trainers.pipelines_of import PIPELINES, ROWS, TARGET, content, fitted
from tests.training.trainers.schemas import Schema, named, nodes, plain, schema_of, tuple_of, with_schema
from training.trainers import pipelines, sklearn, skops_files, trusted
from training.trainers.base import ForecasterUnreadable
from training.trainers.places import StructureBroken

pytestmark = pytest.mark.requirement("R09")


def callables(canary: Path) -> dict[str, Schema]:
    """What would make the canary, were it made or called."""
    text = tuple_of(plain(str(canary)), plain("w"))
    call = named("builtins.open", "TypeNode")
    nothing = {"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "content": {}}
    nothing["key_types"] = {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": []}
    held = {"func": call, "args": text, "kwds": nothing, "namespace": plain(None)}
    return {
        "function": named("os.system", "FunctionNode"),
        "type": named("subprocess.Popen", "TypeNode"),
        "called": named("builtins.open", "ConstructorFromReduceNode", content=text),
        "called, of a path": named("io.FileIO", "ConstructorFromReduceNode", content=text),
        "called on an array": named("builtins.open", "NdArrayNode", type="json", content=[], shape=tuple_of()),
        "partial": named("functools.partial", "PartialNode", content=held),
        "method": named(
            "pathlib.Path", "MethodNode", content={"func": "touch", "obj": named("pathlib.Path", "TypeNode")}
        ),
        "operator": named("operator.methodcaller", "OperatorFuncNode", attrs=text),
        "random": named("os.system", "RandomStateNode", content=nothing),
        "loss": named("os.system", "LossNode", content=nothing, __reduce__={"args": text}),
        "list": named("os.system", "ListNode", content=[plain(str(canary))]),
        "dict": {**nothing, "__module__": "os", "__class__": "abort"},
        "object": named("pathlib.Path", "ObjectNode"),
        "cached": named("builtins.open", "CachedNode", __id__=-1),
    }


@pytest.mark.parametrize("name", PIPELINES)
def test_no_kind_of_object_smuggles_a_callable(name: str, tmp_path: Path) -> None:
    """Each of the file's own objects is given one more attribute, which nobody has asked for."""
    canary = tmp_path / "canary"
    data = content(fitted(name))
    kinds = {f"{node['__module__']}.{node['__class__']}" for node in nodes(schema_of(data)) if holder(node)}
    assert kinds
    for kind in kinds:
        assert pipelines.TRAINER.load(given(data, kind, plain("harmless")))
        for way, smuggled in callables(canary).items():
            with pytest.raises(ForecasterUnreadable):
                pipelines.TRAINER.load(given(data, kind, smuggled))
            assert not canary.exists(), (kind, way)


def given(data: bytes, kind: str, value: Schema) -> bytes:
    """Return a file one object of which has one attribute more."""
    schema = schema_of(data)
    found = (holder(node) for node in nodes(schema) if f"{node['__module__']}.{node['__class__']}" == kind)
    state = next(each for each in found if each)
    state["content"]["extra"] = value
    state["key_types"]["content"].append(named("builtins.str", "TypeNode"))
    return with_schema(data, schema)


def holder(node: Schema) -> Schema | None:
    """Return the state of a node, if it is one of an object that has learned something."""
    state = node.get("content")
    if node["__loader__"] not in ("ObjectNode", "TreeNode", "LossNode") or not isinstance(state, dict):
        return None
    return state if state["__loader__"] == "DictNode" and state["content"] else None


def test_a_name_that_is_trusted_for_one_kind_of_node_is_not_for_another() -> None:
    """skops itself trusts a name wherever it stands, so that an estimator could be called with what a file says."""
    data = content(fitted("lasso"))
    for node, names in trusted.ALL.items():
        if node in (_general.JsonNode, _general.SliceNode):
            continue
        for name in sorted(names)[:20]:
            for loader in ("ConstructorFromReduceNode", "PartialNode", "MethodNode", "OperatorFuncNode", "BytesNode"):
                refused_with(data, named(name, loader, content=tuple_of(), attrs=tuple_of(), file="schema.json"))
    for name in trusted.ALL[_general.ObjectNode]:
        for loader in ("TypeNode", "FunctionNode"):
            refused_with(data, named(name, loader))
    for name in trusted.FUNCTIONS:
        refused_with(data, named(name, "TypeNode"))


def refused_with(data: bytes, strange: Schema) -> None:
    schema = schema_of(data)
    schema["content"]["feature_names"] = strange
    with pytest.raises(ForecasterUnreadable):
        skops_files.load(with_schema(data, schema), kinds=trusted.ALL, format="any")


@pytest.mark.parametrize(
    "strange",
    [
        FunctionTransformer(func=os.system),
        FunctionTransformer(func=partial(np.add, 1)),
        {"estimator": print},
        {"key": np.array([os.system], dtype=object)},
        {"key": [len]},
        {"key": np.random.default_rng().normal},
        {"key": b"bytes"},
        {"key": np.ma.masked_array([1.0])},
    ],
    ids=["a function", "a partial", "a builtin", "an array of them", "a list of them", "a method", "bytes", "masked"],
)
def test_what_is_not_on_the_list_is_refused_by_name(strange: Any) -> None:
    with pytest.raises(skops_files.KindNotTrusted) as caught:
        skops_files.load(skops.io.dumps(strange), kinds=trusted.ALL, format="sklearn-skops-1")
    assert "registering.md" in caught.value.next_step


def test_a_tree_is_no_part_of_a_ridge_and_the_listed_functions_only_calculate() -> None:
    with pytest.raises(skops_files.KindNotTrusted, match=r"sklearn\.tree\._tree\.Tree"):
        sklearn.RIDGE.load(content(fitted("tree"), format="ridge-skops-1"))
    with pytest.raises(StructureBroken, match="FunctionTransformer"):
        out = FunctionTransformer(np.absolute, kw_args={"out": np.zeros(3)})
        skops_files.load(skops.io.dumps(out), kinds=trusted.ALL, format="any")


def test_the_search_tree_of_a_file_is_never_made() -> None:
    data = content(fitted("neighbours by balls"))
    schema = schema_of(data)
    for node in nodes(schema):
        if node["__class__"] == "BallTree":
            node["content"] = plain("broken")
    loaded = pipelines.TRAINER.load(with_schema(data, schema)).estimator
    np.testing.assert_array_equal(loaded.predict(ROWS), fitted("neighbours by balls").predict(ROWS))


def test_a_search_tree_elsewhere_is_refused() -> None:
    tree = fitted("neighbours by balls")._tree
    for held in ({"tree": tree}, [tree], tree, {"_tree": [tree]}):
        with pytest.raises(ForecasterUnreadable):
            skops_files.load(skops.io.dumps(held), kinds=trusted.ALL, format="any")
    schema = schema_of(data := skops.io.dumps({"_tree": tree, "again": 1}))
    schema["content"]["_tree"]["__id__"] = 4711
    schema["content"]["again"] = named("sklearn.neighbors._ball_tree.BallTree", "CachedNode", __id__=4711)
    with pytest.raises(skops_files.KindNotTrusted):
        skops_files.load(with_schema(data, schema), kinds=trusted.ALL, format="any")


# -- indices and shapes that compiled code believes


def a_tree(**fields: Any) -> DecisionTreeRegressor:
    """A fitted tree some of whose nodes say something else."""
    estimator = DecisionTreeRegressor(max_depth=3).fit(ROWS, TARGET)
    state = estimator.tree_.__getstate__()
    changed = state["nodes"].copy()
    for name, (place, value) in fields.items():
        changed[name][place] = value
    made = Tree(3, np.array([1], dtype=np.intp), 1)
    made.__setstate__({**state, "nodes": changed})
    estimator.tree_ = made
    return estimator


BROKEN_TREES = [
    {"feature": (0, 3)},
    {"feature": (0, -1)},
    {"feature": (0, 2**40)},
    {"left_child": (0, 10**6)},
    {"right_child": (0, 10**6)},
    {"left_child": (1, 0)},
    {"right_child": (0, 0)},
    {"right_child": (0, -1)},
    {"left_child": (1, -5)},
]


@pytest.mark.parametrize("fields", BROKEN_TREES, ids=str)
def test_a_tree_that_leads_outside_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(StructureBroken):
        pipelines.TRAINER.load(content(a_tree(**fields)))


def test_a_tree_inside_a_forest_is_looked_at_too() -> None:
    forest = copy.deepcopy(fitted("forest"))
    forest[-1].estimators_[2] = a_tree(feature=(0, 3))
    with pytest.raises(StructureBroken):
        pipelines.TRAINER.load(content(forest))
    forest[-1].estimators_[2] = DecisionTreeRegressor().fit(np.hstack([ROWS, ROWS]), TARGET)
    with pytest.raises(StructureBroken, match="RandomForestRegressor"):
        pipelines.TRAINER.load(content(forest))


def in_tree(change: Callable[[Schema], None]) -> bytes:
    data = content(fitted("tree"))
    schema = schema_of(data)
    change(next(node for node in nodes(schema) if node["__loader__"] == "TreeNode"))
    return with_schema(data, schema)


def _more_nodes(node: Schema) -> None:
    node["content"]["content"]["node_count"] = plain(10**6)


def _more_outputs(node: Schema) -> None:
    node["__reduce__"]["args"]["content"][2] = plain(10**6)


def _no_features(node: Schema) -> None:
    node["__reduce__"]["args"]["content"][0] = plain(-1)


def _no_classes(node: Schema) -> None:
    node["__reduce__"]["args"]["content"][1] = plain([1])


def _no_state(node: Schema) -> None:
    node["content"]["content"] = {}


@pytest.mark.parametrize("change", [_more_nodes, _more_outputs, _no_features, _no_classes, _no_state])
def test_a_tree_whose_parts_do_not_fit_is_refused_before_it_is_made(change: Callable[[Schema], None]) -> None:
    with pytest.raises(StructureBroken):
        pipelines.TRAINER.load(in_tree(change))


def _two_columns(boosting: Any) -> None:
    boosting.estimators_ = np.hstack([boosting.estimators_] * 2)


def _no_columns(boosting: Any) -> None:
    boosting.n_trees_per_iteration_ = 0


def _no_start(boosting: Any) -> None:
    boosting.init_ = fitted("lasso")


def _no_outputs(boosting: Any) -> None:
    boosting.init_.n_outputs_ = 0


@pytest.mark.parametrize("change", [_two_columns, _no_columns, _no_start, _no_outputs])
def test_boosting_that_would_write_outside_is_refused(change: Callable[[Any], None]) -> None:
    boosting = GradientBoostingRegressor(n_estimators=2).fit(ROWS, TARGET)
    change(boosting)
    with pytest.raises(StructureBroken, match="GradientBoostingRegressor"):
        pipelines.TRAINER.load(content(boosting))


@pytest.mark.parametrize(
    ("field", "value"),
    [("feature_idx", 3), ("left", 10**6), ("right", 0), ("is_categorical", 1), ("right", 10**6), ("left", 0)],
)
def test_histograms_that_lead_outside_are_refused(field: str, value: int) -> None:
    estimator = copy.deepcopy(fitted("histograms"))
    assert not estimator._predictors[0][0].nodes["is_leaf"][0]
    estimator._predictors[0][0].nodes[field][0] = value
    with pytest.raises(StructureBroken, match="HistGradientBoostingRegressor"):
        pipelines.TRAINER.load(content(estimator))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("neighbours, all of them", {"_fit_X": ROWS[:, :2].copy()}),
        ("neighbours, all of them", {"_y": TARGET[:5]}),
        ("neighbours, all of them", {"effective_metric_": "seuclidean", "effective_metric_params_": {"V": np.ones(1)}}),
        ("neighbours, all of them", {"effective_metric_": "haversine"}),
        ("neighbours by balls", {"_fit_method": "other"}),
        ("neighbours by balls", {"weights": np.exp}),
    ],
)
def test_neighbours_that_do_not_fit_their_points_are_refused(name: str, values: dict[str, Any]) -> None:
    estimator = copy.copy(fitted(name))
    vars(estimator).update(values)
    with pytest.raises(StructureBroken):
        pipelines.TRAINER.load(content(estimator))


@pytest.mark.parametrize(
    "values",
    [
        {"_dual_coef_": np.ones((1, 1))},
        {"support_vectors_": np.ones((3, 3))},
        {"_n_support": np.array([1, 2, 3], dtype=np.int32)},
        {"kernel": "precomputed"},
        {"_sparse": True},
        {"_intercept_": np.ones(0)},
        {"_impl": "c_svc"},
    ],
    ids=str,
)
def test_support_vectors_that_do_not_fit_are_refused(values: dict[str, Any]) -> None:
    pipeline = copy.deepcopy(fitted("support vectors"))
    vars(pipeline[-1]).update(values)
    with pytest.raises(StructureBroken, match="SVR"):
        pipelines.TRAINER.load(content(pipeline))


def test_support_vectors_of_one_class_more_or_less_are_refused() -> None:
    pipeline = copy.deepcopy(fitted("support vectors"))
    pipeline[-1]._n_support = pipeline[-1]._n_support[:1]
    with pytest.raises(StructureBroken, match="SVR"):
        pipelines.TRAINER.load(content(pipeline))


@pytest.mark.parametrize("method", ["predict", "_validate_X_predict", "__sklearn_tags__", "__made_up__"])
def test_a_state_that_takes_the_place_of_a_method_is_refused(method: str) -> None:
    forest = copy.deepcopy(fitted("forest"))
    vars(forest[-1])[method] = 1
    with pytest.raises(StructureBroken, match=f"its own {method}"):
        pipelines.TRAINER.load(content(forest))


def test_memory_that_runs_out_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*args: object, **values: object) -> None:
        raise MemoryError

    for place in ("get_tree", "audit_tree"):
        with monkeypatch.context() as patched:
            patched.setattr(skops_files, place, out_of_memory)
            with pytest.raises(MemoryError):
                pipelines.TRAINER.load(content(fitted("lasso")))


def test_an_error_of_this_code_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> bool:
        raise AttributeError("ours")

    monkeypatch.setattr(skops_files, "_is_trusted", broken)
    with pytest.raises(AttributeError, match="ours"):
        pipelines.TRAINER.load(content(fitted("lasso")))


def test_the_corpus_of_hostile_zips_is_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for name, data in hostile_files.zips(canary):
        if "zeros" in name or "deflated" in name:
            continue  # bombs are refused by the examination before a trainer sees them
        with pytest.raises((ForecasterUnreadable, MemoryError)):
            pipelines.TRAINER.load(data)
        assert not canary.exists(), name


def test_a_sound_file_is_a_zip_of_the_schema_and_arrays() -> None:
    with zipfile.ZipFile(io.BytesIO(content(fitted("forest")))) as archive:
        assert {Path(name).suffix for name in archive.namelist()} == {".json", ".npy"}
    assert pipelines.TRAINER.format == pipelines_of.FORMAT
