"""Reads skops files: looks at every node before anything is made of it. Refuses kinds that are not `trusted`.

skops trusts a type by its name, whatever node names it; here a name is trusted for one kind of node, so that what may
be an object is not called as a function. Nodes are those that skops itself would make the objects from.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.tree._tree import NODE_DTYPE
from skops.io import _general, _numpy, _sklearn
from skops.io._audit import Node, audit_tree, get_tree
from skops.io._utils import read_schema

from training.trainers import structures, trusted
from training.trainers.base import ForecasterUnreadable
from training.trainers.places import StructureBroken

MOST_TOLD = 5
_NEIGHBOURS = ("sklearn.neighbors._kd_tree.KDTree", "sklearn.neighbors._ball_tree.BallTree")


class KindNotTrusted(ForecasterUnreadable):
    """The file holds an object that is not on the list of what may be made."""

    code = "kind_not_trusted"
    next_step = "Leave out of the pipeline what the sentence names; docs/registering.md lists what may be in it."
    tells_sender = True


def load(data: bytes, *, kinds: trusted.Kinds, format: str) -> Any:
    """Return the object of a skops file, sound to be called. Raises ForecasterUnreadable."""
    root = _tree(data, format)
    nodes = list(_nodes(root))
    _leave_out(nodes)
    kept = list(_nodes(root))
    if strange := sorted({_named(node) for node in kept if not _is_trusted(node, kinds)}):
        more = f" and {len(strange) - MOST_TOLD} more" if len(strange) > MOST_TOLD else ""
        raise KindNotTrusted(f"The bytes hold what {format} may not: {', '.join(strange[:MOST_TOLD])}{more}.")
    content = _made(root, kept, kinds, format)
    structures.check(content)
    return content


def _tree(data: bytes, format: str) -> Node:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            schema, context = read_schema(archive)
            return get_tree(schema, context, trusted=None)
    except MemoryError:
        raise
    except Exception as error:  # A hostile file makes the library raise anything; whatever it is, it was not read.
        raise ForecasterUnreadable(f"These {len(data)} bytes are not of format {format}.") from error


def _made(root: Node, nodes: Sequence[Node], kinds: trusted.Kinds, format: str) -> Any:
    names = sorted(name for each in kinds.values() for name in each)
    try:
        # A second pair of eyes: skops looks at its nodes in its own way.
        audit_tree(root, trusted=names)
        for node in nodes:
            _check(node)
        return root.construct()
    except (MemoryError, ForecasterUnreadable):
        raise
    except Exception as error:  # As above.
        told = f"{type(error).__name__}: {str(error)[:200]}"
        raise ForecasterUnreadable(f"No object can be made of this {format}: {told}") from error


def _check(node: Node) -> None:
    if isinstance(node, _general.DictNode):
        _check_keys(node)
    elif isinstance(node, _sklearn.TreeNode):
        _check_tree(node)


def _nodes(root: Node) -> Iterator[Node]:
    """Yield every node once, however they hold each other."""
    seen, left = set[int](), [root]
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        # A reduced node names its type twice; the second time it is not from the file.
        left += [child for name, each in node.children.items() if name != "constructor" for child in _within(each)]


def _within(child: Any) -> list[Node]:
    several = list(child.values()) if isinstance(child, dict) else child if isinstance(child, list | tuple) else [child]
    return [each for each in several if isinstance(each, Node)]


def _is_trusted(node: Node, kinds: trusted.Kinds) -> bool:
    names = kinds.get(type(node), frozenset())
    return trusted.ANY in names or _named(node) in names


def _named(node: Node) -> str:
    return f"{node.module_name}.{node.class_name}"


def _leave_out(nodes: Sequence[Node]) -> None:
    """Take out, unmade, what no prediction uses: sources of randomness, and how a fit split its data.

    So are search trees of neighbours, which would believe their state: `structures` builds them again.
    """
    for node in nodes:
        if isinstance(node, _general.DictNode):
            for name, value in node.content.items():
                is_tree = name == "_tree" and _named(value) in _NEIGHBOURS
                is_splitter = name == "cv" and _named(value).startswith(_SPLITTERS)
                if is_tree or is_splitter or _named(value) == _RANDOM.get(type(value)):
                    node.content[name] = _general.JsonNode(_NOTHING, None, None)


_SPLITTERS = "sklearn.model_selection._split."
_RANDOM: dict[type[Node], str] = {
    _numpy.RandomStateNode: "numpy.random.mtrand.RandomState",
    _numpy.RandomGeneratorNode: "numpy.random._generator.Generator",
}
_NOTHING = {"__class__": "str", "__module__": "builtins", "content": "null"}


def _check_keys(node: _general.DictNode) -> None:
    """Refuse a mapping that would be made of less than what it holds, or of two values under one key."""
    kinds, count = node.key_types.construct(), len(node.content)
    if type(kinds) is not list or len(kinds) != count or not all(kind in (str, int) for kind in kinds):
        raise StructureBroken("A mapping has not as many keys as values, or keys of a strange kind.")
    if len({kind(key) for kind, key in zip(kinds, node.content, strict=True)}) != count:
        raise StructureBroken("A mapping has two values under one key.")


def _check_tree(node: _sklearn.TreeNode) -> None:
    """Refuse a tree whose parts do not fit each other: compiled code believes them while it is made."""
    try:
        # The very objects that the tree is made of, for they are made once.
        sound = _is_sound(node.args.construct(), node.attrs.construct())
    except MemoryError:
        raise
    except Exception as error:  # As above.
        raise StructureBroken(f"A tree cannot be read: {type(error).__name__}.") from error
    if not sound:
        raise StructureBroken("The parts of a tree do not fit each other.")


def _is_sound(args: Any, parts: Any) -> bool:
    features, classes, outputs = args
    count, nodes, values = (parts[name] for name in ("node_count", "nodes", "values"))
    if type(args) is not tuple or not all(type(each) is int and each > 0 for each in (features, outputs, count)):
        return False
    # A regression of one target: a tree with two writes two values for each point.
    shaped = outputs == 1 and classes.dtype == np.intp and classes.shape == (1,) and classes[0] == 1
    typed = nodes.dtype == NODE_DTYPE and values.dtype == np.float64
    return bool(shaped and typed and nodes.shape == (count,) and values.shape == (count, 1, 1))
