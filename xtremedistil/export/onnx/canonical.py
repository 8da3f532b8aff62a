"""Gives a graph the one form that depends on what it computes alone; and the input type that a server feeds.

tf2onnx names and orders nodes and constants by counters and hash tables, so that two conversions of one student differ.
Here nodes are ordered by how deep they lie and by a hash of what they compute; equal ones become one.
"""

import hashlib

import onnx
from onnx import TensorProto, helper, numpy_helper

from xtremedistil.errors import InputError
from xtremedistil.export.common.config import INT32, INT64

INPUT_TYPES = {INT32: TensorProto.INT32, INT64: TensorProto.INT64}
NO_INPUT = ""  # of an operator whose optional input is left out


def canonical(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the graph with nodes and constants in canonical order, under names that count them.

    Inputs, outputs, metadata and opsets stay. A graph with branches or loops is returned as it is.
    """
    graph = model.graph
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        return model
    constants, kept = _constants(graph)
    keys = {value.name: _digest("input", value.name) for value in graph.input} | {NO_INPUT: "none"}
    keys |= {name: _digest("constant", *_content(tensor)) for name, tensor in constants.items()}
    ranked = _ranked(kept, keys)
    names = {value.name: value.name for value in graph.input} | {NO_INPUT: NO_INPUT}
    given = {value.name for value in graph.output}
    by_key: dict[str, str] = {}
    nodes, initializers = [], []
    for node in ranked:
        for name in node.input:
            if name in constants and keys[name] not in by_key:
                by_key[keys[name]] = f"constant_{len(initializers)}"
                initializers.append(_renamed(constants[name], by_key[keys[name]]))
            names.setdefault(name, by_key.get(keys[name], ""))
        outputs = [keys[name] if name else NO_INPUT for name in node.output]
        if all(key in by_key for key in outputs if key) and not given & set(node.output):
            names |= {name: by_key[key] for name, key in zip(node.output, outputs, strict=True) if name}
            continue
        for place, (name, key) in enumerate(zip(node.output, outputs, strict=True)):
            names[name] = name if name in given else f"{node.op_type}_{len(nodes)}{f'_{place}' * bool(place)}"
            by_key[key] = names[name]
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name, copy.doc_string = f"{node.op_type}_{len(nodes)}", ""
        copy.input[:], copy.output[:] = [names[name] for name in node.input], [names[name] for name in node.output]
        nodes.append(copy)
    made = helper.make_graph(nodes, "xtremedistil", list(graph.input), list(graph.output), initializers)
    return _with_graph(model, made)


def _constants(graph: onnx.GraphProto) -> tuple[dict[str, onnx.TensorProto], list[onnx.NodeProto]]:
    """Returns all constants by name, and the nodes that are none."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = node.attribute[0].t
        else:
            kept.append(node)
    return found, kept


def _ranked(nodes: list[onnx.NodeProto], keys: dict[str, str]) -> list[onnx.NodeProto]:
    """Returns nodes by depth and by what they compute; adds the keys of their outputs."""
    depths = dict.fromkeys(keys, 0)
    waiting, ranked = list(nodes), []
    while waiting:
        ready = [node for node in waiting if all(name in keys for name in node.input)]
        waiting = [node for node in waiting if not all(name in keys for name in node.input)]
        if not ready:
            raise ValueError("The graph has a circle.")
        for node in ready:
            depth, key = 1 + max((depths[name] for name in node.input), default=0), _key(node, keys)
            for place, name in enumerate(node.output):
                if name:
                    keys[name], depths[name] = _digest(key, str(place)), depth
            ranked.append((depth, key, node))
    return [node for _, _, node in sorted(ranked, key=lambda entry: entry[:2])]


def _key(node: onnx.NodeProto, keys: dict[str, str]) -> str:
    attributes = sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)
    return _digest(node.domain, node.op_type, *(keys[name] for name in node.input), *attributes)


def _content(tensor: onnx.TensorProto) -> tuple:
    array = numpy_helper.to_array(tensor)
    return str(array.dtype), str(array.shape), array.tobytes()


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def _renamed(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(numpy_helper.to_array(tensor), name)


def with_input_type(model: onnx.ModelProto, kind: str) -> onnx.ModelProto:
    """Returns the graph with inputs of `kind`, one of `INPUT_TYPES`; 64-bit ids become 32-bit ones at once."""
    if kind == INT32:
        return model
    names = [value.name for value in model.graph.input]
    inner = {name: f"{name}/int32" for name in names}
    casts = [helper.make_node("Cast", [name], [inner[name]], f"{name}/cast", to=TensorProto.INT32) for name in names]
    made = onnx.GraphProto()
    made.CopyFrom(model.graph)
    for value in made.input:
        value.type.tensor_type.elem_type = INPUT_TYPES[kind]
    for node in made.node:
        node.input[:] = [inner.get(name, name) for name in node.input]
    rest = list(made.node)
    del made.node[:]
    made.node.extend([*casts, *rest])
    return _with_graph(model, made)


def with_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Returns the graph for another version of ONNX's operators.

    Raises:
        InputError: an operator of it is another one in that version.
    """
    (own,) = (entry for entry in model.opset_import if entry.domain == "")
    kinds = {node.op_type for node in model.graph.node if node.domain == ""}
    since = lambda kind, version: onnx.defs.get_schema(kind, version).since_version  # noqa: E731
    if changed := sorted(kind for kind in kinds if since(kind, own.version) != since(kind, opset)):
        raise InputError(
            f"`opset` {opset}: there, {', '.join(changed)} of this graph is another operator. Give {own.version}."
        )
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for entry in made.opset_import:
        if entry.domain == "":
            entry.version = opset
    return made


def _with_graph(model: onnx.ModelProto, graph: onnx.GraphProto) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.graph.CopyFrom(graph)
    return made
