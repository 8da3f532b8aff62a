"""A BiLSTM student as an ONNX graph, built straight from its weights: standard operators only, unless parts are int8.

Time comes first throughout, as ONNX Runtime's LSTM wants it (its `layout` 1 is not there on CPUs). That operator takes
the lengths of rows: it turns the real part of each for the backward direction, and gives 0 at padding and for rows
without any token. In int8 it is DynamicQuantizeLSTM: weights in 8 bits with a scale for each column, activations in 8
bits with one for each call. tf2onnx would make loops of single steps instead.

Axes: B batch, S positions, E width of embeddings, I inputs of a layer, U units of a direction, L labels.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from xtremedistil.export.common.encoder_weights import Linear, Norm, merged
from xtremedistil.export.onnx.graph_builder import EMBEDDINGS, FUSED, OnnxGraph

# Keras' gates are input, forget, candidate, output; ONNX's are input, output, forget, candidate.
ONNX_GATES = (0, 3, 1, 2)


@dataclass(frozen=True)
class LstmLayer:
    """Both directions, forward first; gates in ONNX's order.

    Fields:
        kernels: float32 [2, I, 4U]. recurrent_kernels: [2, U, 4U]. biases: [2, 4U].
    """

    kernels: np.ndarray
    recurrent_kernels: np.ndarray
    biases: np.ndarray


@dataclass(frozen=True)
class BilstmWeights:
    """A student's weights by what they do.

    Fields:
        words: float32 [V, E], V words.
        layers: from the bottom up.
        classifier: projection and head in one, float32 [2U, L].
        by_position: whether there are logits for each position, else of the first state.
    """

    words: np.ndarray
    embedding_norm: Norm
    layers: tuple[LstmLayer, ...]
    classifier: Linear
    by_position: bool


def bilstm_weights(
    encoder: Mapping[str, np.ndarray], config: dict, projection: Linear | None, head: Linear, by_position: bool
) -> BilstmWeights:
    """Sorts the weights of a `BilstmModel`.

    Args:
        encoder: arrays by name inside the encoder: "layer_0/forward/kernel:0".
        config: the encoder's, as plain values.
    """
    norm = Norm(encoder["LayerNorm/gamma:0"], encoder["LayerNorm/beta:0"], config["layer_norm_eps"])
    layers = tuple(_layer_weights(encoder, number) for number in range(config["num_hidden_layers"]))
    return BilstmWeights(encoder["word_embeddings/embeddings:0"], norm, layers, merged(projection, head), by_position)


def _layer_weights(encoder: Mapping[str, np.ndarray], number: int) -> LstmLayer:
    def both(name: str) -> np.ndarray:
        sides = [encoder[f"layer_{number}/{side}/{name}:0"] for side in ("forward", "backward")]
        return np.stack([_in_onnx_order(array) for array in sides])

    return LstmLayer(both("kernel"), both("recurrent_kernel"), both("bias"))


def _in_onnx_order(array: np.ndarray) -> np.ndarray:
    """[..., 4U]"""
    gates = np.split(array, 4, axis=-1)
    return np.concatenate([gates[place] for place in ONNX_GATES], axis=-1)


def build_bilstm_graph(
    student: BilstmWeights, *, quantized: Collection[str] = (), reduce_range: bool = False, notes: dict | None = None
) -> onnx.ModelProto:
    """The whole student; arguments as those of `fused_graph.build_graph`."""
    graph = OnnxGraph(quantized, reduce_range)
    along_rows = graph.constant("along_rows", np.ones(1, np.int64))
    lengths = graph.node("ReduceSum", ["attention_mask", along_rows], "lengths", {"keepdims": 0})
    state = _embed(graph, student)
    for number, layer in enumerate(student.layers):
        state = _layer(graph, f"layer_{number}", layer, state, lengths)
    if student.by_position:
        logits = graph.linear(state, student.classifier, "classifier", "logits_by_time")
        graph.node("Transpose", [logits], "logits", {"perm": [1, 0, 2]})
    else:
        graph.linear(graph.first(state, axis=0), student.classifier, "classifier", "logits")
    return graph.model(student.by_position, len(student.classifier.bias), notes or {})


def quantizable_bilstm(student: BilstmWeights) -> list[str]:
    """Names of everything that can be kept in 8 bits, from the bottom up."""
    return [EMBEDDINGS, *(f"layer_{number}" for number in range(len(student.layers))), "classifier"]


def _embed(graph: OnnxGraph, student: BilstmWeights) -> str:
    """[S, B, E]"""
    ids = graph.node("Transpose", ["input_ids"], "ids_by_time", {"perm": [1, 0]})
    if EMBEDDINGS in graph.quantized:
        words = graph.rows_in_8_bits(student.words, ids, "words")
    else:
        words = graph.node("Gather", [graph.constant("embeddings/words", student.words), ids], "words")
    return graph.norm(words, student.embedding_norm, EMBEDDINGS)


def _layer(graph: OnnxGraph, place: str, layer: LstmLayer, state: str, lengths: str) -> str:
    """[S, B, I] -> [S, B, 2U]"""
    inputs = _lstm_in_8_bits if place in graph.quantized else _lstm_in_32_bits
    kind, domain, weights = inputs(graph, place, layer)
    attributes = {"direction": "bidirectional", "hidden_size": layer.recurrent_kernels.shape[1]}
    # Weights, recurrent weights, biases; behind the lengths come first states, of which there are none.
    inputs = [state, *weights[:3], lengths, *weights[3:]]
    by_direction = graph.node(kind, inputs, f"{place}/by_direction", attributes, domain)
    side_by_side = graph.node("Transpose", [by_direction], f"{place}/side_by_side", {"perm": [0, 2, 1, 3]})
    flat = graph.constant("flat", np.array([0, 0, -1], np.int64))
    return graph.node("Reshape", [side_by_side, flat], f"{place}/state")


def _lstm_in_32_bits(graph: OnnxGraph, place: str, layer: LstmLayer) -> tuple[str, str, list[str]]:
    weights = [
        graph.constant(f"{place}/kernels", layer.kernels.transpose(0, 2, 1)),
        graph.constant(f"{place}/recurrent_kernels", layer.recurrent_kernels.transpose(0, 2, 1)),
        _biases(graph, place, layer),
    ]
    return "LSTM", "", weights


def _lstm_in_8_bits(graph: OnnxGraph, place: str, layer: LstmLayer) -> tuple[str, str, list[str]]:
    weights, scales = [], []
    for name, array in (("kernels", layer.kernels), ("recurrent_kernels", layer.recurrent_kernels)):
        small, scale = graph.in_8_bits(array)
        weights.append(graph.constant(f"{place}/{name}", small))
        # Each input has zero points of its own: on CPUs without VNNI, ONNX Runtime 1.32 makes them unsigned one input
        # after the other, and refuses a graph where two inputs share them.
        zero_points = graph.constant(f"{place}/{name}/zero_points", np.zeros(layer.biases.shape, np.int8))
        scales += [graph.constant(f"{place}/{name}/scales", scale), zero_points]
    no_first_states = ["", "", ""]
    return "DynamicQuantizeLSTM", FUSED, [*weights, _biases(graph, place, layer), *no_first_states, *scales]


def _biases(graph: OnnxGraph, place: str, layer: LstmLayer) -> str:
    """ONNX adds two, one for the inputs and one for the recurrence: [2, 8U]."""
    return graph.constant(f"{place}/biases", np.concatenate([layer.biases, np.zeros_like(layer.biases)], axis=1))
