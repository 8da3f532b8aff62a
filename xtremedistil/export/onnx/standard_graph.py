"""The student as tf2onnx converts it: standard operators only, the reference for the fused graph."""

import json
import logging

import onnx
import tensorflow as tf
import tf2onnx
from onnx import helper

from xtremedistil.data.padding import INPUT_NAMES
from xtremedistil.errors import InputError
from xtremedistil.export.onnx.canonical import canonical

OPSET = max(tf2onnx.constants.OPSET_TO_IR_VERSION)
AXES = ("batch", "sequence")


def convert(model: tf.keras.Model, notes: dict, opset: int = OPSET) -> onnx.ModelProto:
    """`input_ids`, `attention_mask`, `token_type_ids`, int32 [batch, sequence], in; `logits` out. In canonical form.

    Raises:
        InputError: tf2onnx has no translation for an operator of the model.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, name=name) for name in INPUT_NAMES])
    def graph(*inputs):
        outputs = model(dict(zip(INPUT_NAMES, inputs, strict=True)), training=False)
        return {"logits": tf.identity(outputs["logits"], name="logits")}

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # what it cannot convert is refused below
    converted, _ = tf2onnx.convert.from_function(
        graph, input_signature=graph.input_signature, opset=opset, custom_op_handlers={"Erfc": (_erfc, [])}
    )
    _refuse_unsupported(converted)
    _name_borders(converted)
    helper.set_model_props(converted, {name: json.dumps(value) for name, value in notes.items()})
    return canonical(converted)


def _erfc(context, node, name, arguments):
    """erfc(x) = 1 - erf(x): TensorFlow's exact GELU has it, tf2onnx 1.17 has not. Right to 2e-6 of a GELU."""
    node.type = "Erf"
    shapes, types = node.output_shapes, node.output_dtypes
    output = node.output[0]
    followers = context.find_output_consumers(output)
    one = context.make_const(f"{name}_one", _one(types[0])).output[0]
    rest = context.make_node("Sub", [one, output], shapes=shapes, dtypes=types, name=f"{name}_rest")
    for follower in followers:
        context.replace_input(follower, output, rest.output[0])


def _one(kind: int):
    return helper.tensor_dtype_to_np_dtype(kind).type(1)


def _refuse_unsupported(model: onnx.ModelProto) -> None:
    known = {"", "ai.onnx"}
    foreign = sorted({node.op_type for node in model.graph.node if node.domain not in known})
    schemas = {schema.name for schema in onnx.defs.get_all_schemas()}
    foreign += sorted({node.op_type for node in model.graph.node if node.op_type not in schemas})
    if foreign:
        raise InputError(
            f"tf2onnx {tf2onnx.__version__} cannot convert {', '.join(dict.fromkeys(foreign))}; nothing was written."
        )


def _name_borders(model: onnx.ModelProto) -> None:
    """Our names for inputs, output and their open axes; tf2onnx calls them unk__310 and Identity."""
    for value in [*model.graph.input, *model.graph.output]:
        for place, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.HasField("dim_param") or not dimension.HasField("dim_value"):
                dimension.dim_param = AXES[place]
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["logits" if name == output.name else name for name in node.output]
        node.input[:] = ["logits" if name == output.name else name for name in node.input]
    output.name = "logits"
