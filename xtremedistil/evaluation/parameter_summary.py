"""Counts a model's parameters in a tree made from the names of its variables."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xtremedistil.arguments import require_whole, shown
from xtremedistil.evaluation.report import aligned

if TYPE_CHECKING:
    import tf_keras


@dataclass(frozen=True)
class ParameterSummary:
    """A tree of a model's parameters.

    Fields:
        tree: the model's node: {"name", "parameters", "share" (of the model, 0 to 1), "mib" (MiB in memory), "shared"
            (whether several layers hold all variables below), "children": [node]}.
        text: the same, one line per node.
    """

    tree: dict
    text: str

    def __str__(self) -> str:
        return self.text


def parameter_summary(model: "tf_keras.Model", max_depth: int | None = None) -> ParameterSummary:
    """Counts a model's parameters by the parts of their names ("encoder/layer_0/kernel").

    Nodes with one child are joined with it; variables of one name are one line. A variable that several layers hold,
    directly or through another layer, counts once, under its own name, and is tagged "shared". The total is
    `model.count_params()`, except that this counts two variable objects on the same memory twice.

    Args:
        model: must be built.
        max_depth: levels below the model; None: all of them.

    Raises:
        ValueError: `model` is no model, or `max_depth` no whole number.
    """
    if not hasattr(model, "weights") or not hasattr(model, "name"):
        raise ValueError(f"model is {shown(model)}; it is a Keras model.")
    require_whole("max_depth", max_depth, optional=True)
    owners = Counter(_memory(variable) for variable in _held(model))
    variables: dict[int, object] = {}
    for variable in model.weights:
        variables.setdefault(_memory(variable), variable)
    root = _Node()
    for key, variable in variables.items():
        root.add(_path(variable, model.name), variable, owners[key] > 1)
    tree = _as_dict(model.name, root, root.parameters, max_depth)
    return ParameterSummary(tree, aligned([["", "parameters", "share", "MiB"], *_lines(tree, 0)]))


@dataclass
class _Node:
    """The variables whose names have a common beginning."""

    parameters: int = 0
    size: int = 0  # bytes
    variables: int = 0
    shared: int = 0  # variables with several owners
    children: dict[str, "_Node"] = field(default_factory=dict)

    def add(self, path: Sequence[str], variable, shared: bool) -> None:
        """Counts `variable` here and at each node on its path."""
        count = variable.shape.num_elements()
        self.parameters += count
        self.size += count * variable.dtype.size
        self.variables += 1
        self.shared += shared
        if path:
            self.children.setdefault(path[0], _Node()).add(path[1:], variable, shared)


def _as_dict(name: str, node: _Node, total: int, depth: int | None) -> dict:
    """Returns `node`, joined with its child if it has only one, and `depth` levels below it."""
    while len(node.children) == 1:
        part, child = next(iter(node.children.items()))
        if child.variables < node.variables:  # a variable has the name of the node itself
            break
        name, node = f"{name}/{part}", child
    below = None if depth is None else depth - 1
    children = node.children.items() if depth is None or depth > 0 else ()
    return {
        "name": name,
        "parameters": node.parameters,
        "share": node.parameters / total if total else 0.0,
        "mib": node.size / 2**20,
        "shared": 0 < node.variables == node.shared,
        "children": [_as_dict(part, child, total, below) for part, child in children],
    }


def _lines(node: dict, depth: int) -> list[list[str]]:
    name = "  " * depth + node["name"] + " (shared)" * node["shared"]
    line = [name, f"{node['parameters']:,}", f"{100 * node['share']:.1f}%", f"{node['mib']:.2f}"]
    return [line] + [below for child in node["children"] for below in _lines(child, depth + 1)]


def _path(variable, model_name: str) -> list[str]:
    """ "model/dense/kernel:0" gives ["dense", "kernel"]."""
    return variable.name.partition(":")[0].removeprefix(f"{model_name}/").split("/")


def _held(layer: "tf_keras.layers.Layer") -> Iterator:
    """Yields each variable once for every path from `layer` to it; `weights` has it only once."""
    yield from layer._trainable_weights
    yield from layer._non_trainable_weights
    for child in layer._flatten_layers(recursive=False, include_self=False):
        yield from _held(child)


def _memory(variable) -> int:
    """Returns an id that is equal for variables on the same memory; for replicated variables, of the first replica."""
    return id(getattr(variable, "values", (variable,))[0].handle)
