"""A student's weights by what they do, whatever its family calls them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import Family

DISTILBERT_EPSILON = 1e-12  # fixed in its code; the others have it in their config


@dataclass(frozen=True)
class Linear:
    """x @ kernel + bias; float32 [in, out] and [out]."""

    kernel: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Norm:
    """Layer normalisation; float32 [H] each."""

    gamma: np.ndarray
    beta: np.ndarray
    epsilon: float


@dataclass(frozen=True)
class Layer:
    """One transformer layer, normalised after each half."""

    query: Linear
    key: Linear
    value: Linear
    attention_output: Linear
    attention_norm: Norm
    intermediate: Linear
    output: Linear
    output_norm: Norm


# Parts of a `Layer` by their names in an encoder.
BERT_NAMES = {
    "query": "attention/self/query",
    "key": "attention/self/key",
    "value": "attention/self/value",
    "attention_output": "attention/output/dense",
    "attention_norm": "attention/output/LayerNorm",
    "intermediate": "intermediate/dense",
    "output": "output/dense",
    "output_norm": "output/LayerNorm",
}

DISTILBERT_NAMES = {
    "query": "attention/q_lin",
    "key": "attention/k_lin",
    "value": "attention/v_lin",
    "attention_output": "attention/out_lin",
    "attention_norm": "sa_layer_norm",
    "intermediate": "ffn/lin1",
    "output": "ffn/lin2",
    "output_norm": "output_layer_norm",
}


@dataclass(frozen=True)
class StudentWeights:
    """Axes: V words, P positions, T token types, E width of embeddings, H hidden, L labels.

    Fields:
        words: float32 [V, E]. positions: [P, E]. types: [T, E], None where token types are not read.
        embedding_projection: from E to H, None where they are equal.
        layers: from the bottom up.
        classifier: projection and head in one, float32 [H, L]: nothing but dropout stands between the two; of a text
            head with an activation the second layer.
        num_heads: attention heads of a layer. activation: as Hugging Face names it.
        first_position: None if positions count from 0 on; else the padding id, behind which RoBERTa's count.
        by_position: whether there are logits for each position, else of the first state.
        inner: the first layer of a text head with an activation, [H, H]. inner_activation: which.
    """

    words: np.ndarray
    positions: np.ndarray
    types: np.ndarray | None
    embedding_norm: Norm
    embedding_projection: Linear | None
    layers: tuple[Layer, ...]
    classifier: Linear
    num_heads: int
    activation: str
    first_position: int | None
    by_position: bool
    inner: Linear | None = None
    inner_activation: str | None = None


def student_weights(
    encoder: Mapping[str, np.ndarray],
    family: Family,
    config: dict,
    projection: Linear | None,
    head: Linear,
    by_position: bool,
    projection_activation: str | None = None,
) -> StudentWeights:
    """Sorts the weights of an encoder.

    Args:
        encoder: arrays by name inside the encoder: "bert/embeddings/LayerNorm/gamma:0".
        config: the encoder's, as plain values.
        projection_activation: what follows the projection.

    Raises:
        InputError: the encoder has a weight that is not understood, or lacks one.
    """
    distil = family.model_type == "distilbert"
    epsilon = DISTILBERT_EPSILON if distil else config["layer_norm_eps"]
    reader = _Reader(encoder, epsilon)
    words, positions, types, embedding_norm = reader.embeddings()
    counts_from_padding = family.model_type in ("roberta", "xlm-roberta")
    if types is not None and (not family.takes_token_types or len(types) == 1):
        positions, types = positions + types[0], None  # every row has type 0
    count = config["n_layers" if distil else "num_hidden_layers"]
    stack, names = ("transformer", DISTILBERT_NAMES) if distil else ("encoder", BERT_NAMES)
    found = StudentWeights(
        words=words,
        positions=positions,
        types=types,
        embedding_norm=embedding_norm,
        embedding_projection=reader.linear("embeddings_project") if reader.has("embeddings_project/kernel:0") else None,
        layers=tuple(reader.layer(f"{stack}/layer_._{number}", names) for number in range(count)),
        classifier=head if projection_activation else merged(projection, head),
        num_heads=config["n_heads" if distil else "num_attention_heads"],
        activation=config["activation" if distil else "hidden_act"],
        first_position=config["pad_token_id"] if counts_from_padding else None,
        by_position=by_position,
        inner=projection if projection_activation else None,
        inner_activation=projection_activation,
    )
    reader.refuse_left_over()
    return found


def linear_of(layer) -> Linear:
    """The weights of a Keras dense layer."""
    return Linear(layer.kernel.numpy(), layer.bias.numpy())


def merged(first: Linear | None, second: Linear) -> Linear:
    """Two linear layers, one after the other, as one; computed in float64."""
    if first is None:
        return second
    kernel, bias = second.kernel.astype(np.float64), second.bias.astype(np.float64)
    return Linear((first.kernel @ kernel).astype(np.float32), (first.bias @ kernel + bias).astype(np.float32))


class _Reader:
    """Hands out weights and remembers which are left."""

    def __init__(self, weights: Mapping[str, np.ndarray], epsilon: float):
        self._weights = {name.partition("/")[2]: array for name, array in weights.items()}
        self._left = set(self._weights)
        self._epsilon = epsilon

    def has(self, name: str) -> bool:
        return name in self._weights

    def array(self, *names: str) -> np.ndarray:
        for name in names:
            if name in self._weights:
                self._left.discard(name)
                return self._weights[name].astype(np.float32)
        raise InputError(f"The student has no weight {names[0]}; it has {', '.join(sorted(self._weights)[:5])}, ...")

    def linear(self, name: str) -> Linear:
        return Linear(self.array(f"{name}/kernel:0"), self.array(f"{name}/bias:0"))

    def norm(self, name: str) -> Norm:
        return Norm(self.array(f"{name}/gamma:0"), self.array(f"{name}/beta:0"), self._epsilon)

    def embeddings(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, Norm]:
        tables = [
            self.array(f"embeddings/{name}_embeddings/weight:0", f"embeddings/{name}_embeddings/embeddings:0")
            for name in ("word", "position")
        ]
        type_name = "embeddings/token_type_embeddings/embeddings:0"
        types = self.array(type_name) if self.has(type_name) else None
        return *tables, types, self.norm("embeddings/LayerNorm")

    def layer(self, place: str, names: Mapping[str, str]) -> Layer:
        """The layer at `place`, by a table of names."""
        read = {Linear: self.linear, Norm: self.norm}
        return Layer(**{part.name: read[part.type](f"{place}/{names[part.name]}") for part in fields(Layer)})

    def refuse_left_over(self) -> None:
        if self._left:
            raise InputError(f"The student has weights whose use is not known: {', '.join(sorted(self._left))}.")
