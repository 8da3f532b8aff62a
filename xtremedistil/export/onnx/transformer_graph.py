"""The student as an ONNX graph of fused operators (domain com.microsoft), built straight from its weights.

Each layer is a product for queries, keys and values together, MultiHeadAttention, Sum and LayerNormalization, a product
with BiasGelu, and again Sum and LayerNormalization. In int8, products are DynamicQuantizeMatMul, which adds the bias
too: weights in 8 bits with a scale for each column, activations in 8 bits with one for each call.

Sum and LayerNormalization do what SkipLayerNormalization does, six times faster on a CPU (ONNX Runtime 1.31, 1,024
rows of 384, one thread: 0.32 against 2.0 ms). With Add instead of Sum, ONNX Runtime would make the slow one of the two.

Axes: B batch, S positions, E width of embeddings, H hidden, L labels.
"""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto

from xtremedistil.errors import InputError
from xtremedistil.export.common.encoder_weights import Layer, Linear, Norm, StudentWeights
from xtremedistil.export.onnx.graph_builder import EMBEDDINGS, FUSED, OnnxGraph

# Hugging Face's names of activations, and the operators without and with a bias.
_TANH_GELU = ("FastGelu", "FastGelu")
GELUS = {"gelu": ("Gelu", "BiasGelu"), **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh"), _TANH_GELU)}
OTHER_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh"}


def build_graph(
    student: StudentWeights, *, quantized: Collection[str] = (), reduce_range: bool = False, notes: dict | None = None
) -> onnx.ModelProto:
    """The whole student: `input_ids`, `attention_mask`, `token_type_ids`, int32 [B, S], in; `logits` out.

    Args:
        quantized: names (of `quantizable`) of what is kept in 8 bits.
        reduce_range: 7 bits for weights: 8 saturate on CPUs without VNNI.
        notes: written into the file's metadata.

    Raises:
        InputError: an activation without an operator.
    """
    if student.activation not in GELUS | OTHER_ACTIVATIONS:
        known = ", ".join(GELUS | OTHER_ACTIVATIONS)
        raise InputError(f"The student's activation '{student.activation}' has no operator here; known: {known}.")
    graph = OnnxGraph(quantized, reduce_range)
    state = _embed(graph, student)
    for number, layer in enumerate(student.layers):
        state = _layer(graph, f"layer_{number}", layer, state, student)
    if not student.by_position:
        state = graph.first(state, axis=1)
    if student.inner:
        state = _activated(graph, "inner", state, student.inner, student.inner_activation)
    graph.linear(state, student.classifier, "classifier", "logits")
    return graph.model(student.by_position, len(student.classifier.bias), notes or {})


def quantizable(student: StudentWeights) -> list[str]:
    """Names of everything that can be kept in 8 bits, from the bottom up."""
    parts = ("attention", "attention_output", "intermediate", "output")
    layers = [f"layer_{number}/{part}" for number in range(len(student.layers)) for part in parts]
    projection = ["embedding_projection"] if student.embedding_projection else []
    return [EMBEDDINGS, *projection, *layers, "classifier"]


def _embed(graph: OnnxGraph, student: StudentWeights) -> str:
    if EMBEDDINGS in graph.quantized:
        state = _embed_in_8_bits(graph, student)
    else:
        state = _embed_in_32_bits(graph, student)
    if student.embedding_projection:
        state = graph.linear(state, student.embedding_projection, "embedding_projection", "embeddings/projected")
    return state


def _embed_in_32_bits(graph: OnnxGraph, student: StudentWeights) -> str:
    types = [] if student.types is None else [graph.constant("embeddings/types", student.types)]
    inputs = [
        "input_ids",
        "token_type_ids" if types else "",
        graph.constant("embeddings/words", student.words),
        graph.constant("embeddings/positions", student.positions),
        *(types or [""]),
        *graph.norm_weights(student.embedding_norm, "embeddings"),
    ]
    if student.first_position is not None:
        inputs += ["", _places_behind_padding(graph, student.first_position)]
    epsilon = {"epsilon": student.embedding_norm.epsilon}
    return graph.node("EmbedLayerNormalization", inputs, "embeddings", epsilon, FUSED, more_outputs=["unused_lengths"])


def _embed_in_8_bits(graph: OnnxGraph, student: StudentWeights) -> str:
    """Words in 8 bits; positions and types, which are few, as they are."""
    words = graph.rows_in_8_bits(student.words, "input_ids", "words")
    state = graph.node("Add", [words, _position_rows(graph, student)], "embeddings/placed")
    if student.types is not None:
        table = graph.constant("embeddings/types", student.types)
        types = graph.node("Gather", [table, "token_type_ids"], "embeddings/type")
        state = graph.node("Add", [state, types], "embeddings/typed")
    return graph.norm(state, student.embedding_norm, "embeddings")


def _position_rows(graph: OnnxGraph, student: StudentWeights) -> str:
    """The position embeddings of a batch: float32 [S, E], or [B, S, E] where they depend on the row."""
    table = graph.constant("embeddings/positions", student.positions)
    if student.first_position is not None:
        places = _places_behind_padding(graph, student.first_position)
        return graph.node("Gather", [table, places], "embeddings/place")
    length = graph.node("Shape", ["input_ids"], "embeddings/length", {"start": 1, "end": 2})
    zero = graph.constant("zero", np.zeros(1, np.int64))
    return graph.node("Slice", [table, zero, length, zero], "embeddings/place")


def _places_behind_padding(graph: OnnxGraph, pad_id: int) -> str:
    """RoBERTa's numbers: padding has `pad_id`, the others count from `pad_id` + 1 on: int32 [B, S]."""
    pad = graph.constant("pad_id", np.array(pad_id, np.int32))
    real = graph.node("Not", [graph.node("Equal", ["input_ids", pad], "is_padding")], "is_real")
    real = graph.node("Cast", [real], "real", {"to": TensorProto.INT32})
    counted = graph.node("CumSum", [real, graph.constant("along", np.array(1, np.int64))], "counted")
    return graph.node("Add", [graph.node("Mul", [counted, real], "counted_real"), pad], "places")


def _layer(graph: OnnxGraph, place: str, layer: Layer, state: str, student: StudentWeights) -> str:
    attended = _attention(graph, place, layer, state, student.num_heads)
    state = _add_and_norm(
        graph, f"{place}/attention_output", attended, layer.attention_output, state, layer.attention_norm
    )
    inner = _activated(graph, f"{place}/intermediate", state, layer.intermediate, student.activation)
    return _add_and_norm(graph, f"{place}/output", inner, layer.output, state, layer.output_norm)


def _attention(graph: OnnxGraph, place: str, layer: Layer, state: str, num_heads: int) -> str:
    parts = (layer.query, layer.key, layer.value)
    kernel = np.concatenate([part.kernel for part in parts], axis=1)
    linear = Linear(kernel, np.concatenate([part.bias for part in parts]))
    packed, *bias = graph.terms(state, linear, f"{place}/attention")
    names = [f"{place}/{name}" for name in ("query", "key", "value")]
    graph.node("Split", [packed], names[0], {"axis": -1}, more_outputs=names[1:])
    inputs = [*names, *(bias or [""]), "attention_mask"]
    return graph.node("MultiHeadAttention", inputs, f"{place}/attended", {"num_heads": num_heads}, FUSED)


def _add_and_norm(graph: OnnxGraph, place: str, inner: str, linear: Linear, skipped: str, norm: Norm) -> str:
    """LayerNorm(inner @ kernel + bias + skipped)."""
    total = graph.node("Sum", [*graph.terms(inner, linear, place), skipped], f"{place}/total")
    return graph.norm(total, norm, place)


def _activated(graph: OnnxGraph, place: str, state: str, linear: Linear, activation: str) -> str:
    if activation in OTHER_ACTIVATIONS:
        return graph.node(
            OTHER_ACTIVATIONS[activation], [graph.linear(state, linear, place, f"{place}/sum")], f"{place}/activated"
        )
    terms = graph.terms(state, linear, place)
    kind = GELUS[activation][len(terms) - 1]
    return graph.node(kind, terms, f"{place}/activated", domain=FUSED)
