"""An ONNX graph in the making: what the graphs of all students are put together with.

Axes: B batch, S positions, E width of embeddings, L labels.
"""

import json
from collections.abc import Collection, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from xtremedistil.data.padding import INPUT_NAMES
from xtremedistil.export.common.encoder_weights import Linear, Norm

OPSET = 17  # the first with LayerNormalization
FUSED = "com.microsoft"
EMBEDDINGS = "embeddings"
FLOAT = {"to": TensorProto.FLOAT}


class OnnxGraph:
    """Nodes and constants as they are added; each node's name is that of its first output.

    Args:
        quantized: names of what is kept in 8 bits.
        reduce_range: 7 bits for weights: 8 saturate on CPUs without VNNI.
    """

    def __init__(self, quantized: Collection[str] = (), reduce_range: bool = False):
        self.quantized = frozenset(quantized)
        self._largest = 63 if reduce_range else 127
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, array: np.ndarray) -> str:
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def node(
        self,
        kind: str,
        inputs: Sequence[str],
        name: str,
        attributes: dict | None = None,
        domain: str = "",
        more_outputs: Sequence[str] = (),
    ) -> str:
        outputs = [name, *more_outputs]
        self._nodes.append(helper.make_node(kind, inputs, outputs, name, domain=domain, **(attributes or {})))
        return name

    def norm_weights(self, norm: Norm, place: str) -> list[str]:
        return [self.constant(f"{place}/gamma", norm.gamma), self.constant(f"{place}/beta", norm.beta)]

    def norm(self, state: str, norm: Norm, place: str) -> str:
        attributes = {"epsilon": norm.epsilon, "axis": -1}
        return self.node("LayerNormalization", [state, *self.norm_weights(norm, place)], f"{place}/normed", attributes)

    def linear(self, state: str, linear: Linear, place: str, output: str) -> str:
        """state @ kernel + bias."""
        terms = self.terms(state, linear, place)
        return self.node("Sum", terms, output)

    def terms(self, state: str, linear: Linear, place: str) -> list[str]:
        """What state @ kernel + bias is the sum of: product and bias; in 8 bits the product has the bias in it."""
        bias = self.constant(f"{place}/bias", linear.bias)
        name = f"{place}/product"
        if place not in self.quantized:
            return [self.node("MatMul", [state, self.constant(f"{place}/kernel", linear.kernel)], name), bias]
        kernel, scales = self.in_8_bits(linear.kernel)
        inputs = [
            state,
            self.constant(f"{place}/kernel", kernel),
            self.constant(f"{place}/scales", scales),
            "",  # the zero point of the weights is 0
            bias,
        ]
        return [self.node("DynamicQuantizeMatMul", inputs, name, domain=FUSED)]

    def in_8_bits(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int8 [..., I, O] with a scale for each column, float32 [..., O]."""
        scales = np.maximum(np.abs(weights).max(axis=-2), 1e-12) / self._largest
        return np.rint(weights / scales[..., None, :]).astype(np.int8), scales.astype(np.float32)

    def rows_in_8_bits(self, table: np.ndarray, ids: str, name: str) -> str:
        """Rows of a table that is kept in 8 bits with a scale for each row: float32 [..., E]."""
        scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12) / 127
        words = self.constant("embeddings/words", np.rint(table / scales).astype(np.int8))
        rows = self.node("Cast", [self.node("Gather", [words, ids], "embeddings/rows")], "embeddings/float_rows", FLOAT)
        scale_table = self.constant("embeddings/scales", scales.astype(np.float32))
        return self.node("Mul", [rows, self.node("Gather", [scale_table, ids], "embeddings/scale")], name)

    def first(self, state: str, axis: int) -> str:
        """The first along an axis. Not as a Gather of index 0: ONNX Runtime 1.31 moves that and keeps the axis."""
        zero, one = (self.constant(name, np.full(1, value, np.int64)) for name, value in (("zero", 0), ("one", 1)))
        along = self.constant("first_along", np.full(1, axis, np.int64))
        return self.node("Squeeze", [self.node("Slice", [state, zero, one, along], "first_state"), along], "summary")

    def model(self, by_position: bool, labels: int, notes: dict) -> onnx.ModelProto:
        """The whole: three int32 [B, S] in; `logits` out, [B, S, L] by position, else [B, L].

        Args:
            notes: written into the file's metadata.
        """
        shape = ["batch", "sequence"]
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT32, shape) for name in INPUT_NAMES]
        out_shape = [*(shape if by_position else shape[:1]), labels]
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, out_shape)]
        graph = helper.make_graph(self._nodes, "xtremedistil", inputs, outputs, list(self._constants.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="xtremedistil")
        helper.set_model_props(model, {name: json.dumps(value) for name, value in notes.items()})
        return model
