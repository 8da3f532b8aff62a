"""One form for graphs that compute the same, and the types that they are fed with."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from xtremedistil.errors import InputError
from xtremedistil.export.onnx.canonical import canonical, with_input_type, with_opset

INPUTS = ("input_ids", "attention_mask")


def graph(names: dict[str, str], order: list[int], opset: int = 17) -> onnx.ModelProto:
    """(ids + 1) * (ids + 1) * mask, with the sum computed twice, under the names and in the order that are given."""
    one = [numpy_helper.from_array(np.array(1, np.int32), names[name]) for name in ("one", "same")]
    nodes = [
        helper.make_node("Add", ["input_ids", names["one"]], [names["left"]], names["left"] + "/node"),
        helper.make_node("Add", ["input_ids", names["same"]], [names["right"]]),
        helper.make_node("Mul", [names["left"], names["right"]], [names["square"]]),
        helper.make_node("Mul", [names["square"], "attention_mask"], ["logits"]),
    ]
    axes = ["batch", "sequence"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT32, axes) for name in INPUTS]
    output = helper.make_tensor_value_info("logits", TensorProto.INT32, axes)
    made = helper.make_graph([nodes[number] for number in order], "g", inputs, [output], one[:: 1 if order[0] else -1])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


KINDS = ("one", "same", "left", "right", "square")
FIRST = graph({name: name for name in KINDS}, [0, 1, 2, 3])
SECOND = graph({name: f"unk__{number}" for number, name in enumerate(KINDS)}, [1, 0, 2, 3])


def answer(model: onnx.ModelProto, kind=np.int32) -> np.ndarray:
    ids = np.array([[2, 5, 3], [1, 4, 0]], kind)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"input_ids": ids, "attention_mask": (ids > 1).astype(kind)})[0]


def test_graphs_that_compute_the_same_are_the_same_bytes():
    one, other = (canonical(model).SerializeToString(deterministic=True) for model in (FIRST, SECOND))
    assert FIRST.SerializeToString() != SECOND.SerializeToString() and one == other
    found = canonical(FIRST)
    onnx.checker.check_model(found)
    assert [node.op_type for node in found.graph.node] == ["Add", "Mul", "Mul"] and len(found.graph.initializer) == 1
    np.testing.assert_array_equal(answer(found), answer(FIRST))


def test_order_of_inputs_of_an_operator_is_kept():
    minus = onnx.ModelProto()
    minus.CopyFrom(FIRST)
    minus.graph.node[3].op_type = "Sub"
    np.testing.assert_array_equal(answer(canonical(minus)), answer(minus))


def test_graph_may_be_fed_with_64_bits():
    wide = with_input_type(FIRST, "int64")
    onnx.checker.check_model(wide)
    assert {value.type.tensor_type.elem_type for value in wide.graph.input} == {TensorProto.INT64}
    np.testing.assert_array_equal(answer(wide, np.int64), answer(FIRST))
    assert with_input_type(FIRST, "int32") is FIRST


def test_opset_is_raised_where_its_operators_are_the_same():
    assert with_opset(FIRST, 18).opset_import[0].version == 18
    with pytest.raises(InputError, match="`opset` 6: there, Add, Mul of this graph is another operator. Give 17"):
        with_opset(FIRST, 6)
