"""`LanguageHead`: predicts tokens from an encoder's last hidden states.

All families have the same kind of head: a dense layer, an activation, a layer norm, and the product with the encoder's
word embeddings, plus a bias. GPT-2 only has the product.

Axes: M predicted tokens, H hidden, E width of the word embeddings, V tokens of the vocabulary.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import Family
from xtremedistil.models.checkpoints.pretrained import read_checkpoint
from xtremedistil.models.checkpoints.weight_files import State, in_pytorch
from xtremedistil.models.features.word_embeddings import word_embedding_variable

SPREAD = 0.02  # standard deviation of new weights
NORM_EPSILON = 1e-12


@dataclass(frozen=True)
class HeadNames:
    """Names in PyTorch's transformers of the parts of a family's head, and of its class.

    Fields:
        activation: of the dense layer; in braces, the field of the configuration that names it.
    """

    pytorch_class: str
    dense: str = ""
    norm: str = ""
    bias: str = ""
    activation: str = "gelu"


_ROBERTA = ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias")
_BERT = "cls.predictions."

HEADS = {
    "bert": HeadNames(
        "BertForMaskedLM", f"{_BERT}transform.dense", f"{_BERT}transform.LayerNorm", f"{_BERT}bias", "{hidden_act}"
    ),
    "distilbert": HeadNames(
        "DistilBertForMaskedLM", "vocab_transform", "vocab_layer_norm", "vocab_projector.bias", "{activation}"
    ),
    "roberta": HeadNames("RobertaForMaskedLM", *_ROBERTA),
    "xlm-roberta": HeadNames("XLMRobertaForMaskedLM", *_ROBERTA),
    "electra": HeadNames(
        "ElectraForMaskedLM", "generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias"
    ),
    "gpt2": HeadNames("GPT2LMHeadModel"),
}

# Names in checkpoints of the head's output matrix, and of the word embeddings, which it must equal.
DECODERS = (
    "cls.predictions.decoder.weight",
    "lm_head.decoder.weight",
    "lm_head.weight",
    "vocab_projector.weight",
    "generator_lm_head.weight",
)

WORD_TABLES = ("word_embeddings.weight", "wte.weight")


class LanguageHead(tf_keras.layers.Layer):
    """Maps hidden states [M, H] to float32 logits [M, V].

    The word embeddings belong to the encoder, which trains, saves and counts them.
    """

    def __init__(self, encoder, family: Family, name: str = "language_head"):
        super().__init__(name=name)
        table = word_embedding_variable(encoder)
        self._table = lambda: table  # a function, so that Keras does not count it among this layer's weights
        self._names = HEADS[family.model_type]
        self.width, self.transforms = int(table.shape[1]), bool(self._names.dense)
        if self.transforms:
            spread = tf_keras.initializers.TruncatedNormal(stddev=SPREAD)
            self.dense = tf_keras.layers.Dense(self.width, kernel_initializer=spread, name="dense")
            self.activate = _activation(self._names.activation, encoder.config)
            epsilon = getattr(encoder.config, "layer_norm_eps", NORM_EPSILON)
            self.norm = tf_keras.layers.LayerNormalization(epsilon=epsilon, name="norm", dtype="float32")
            self.bias = self.add_weight("bias", [int(table.shape[0])], tf.float32, "zeros", experimental_autocast=False)
        self(tf.zeros([1, encoder.config.hidden_size]))

    def call(self, states):
        if self.transforms:
            states = self.norm(self.activate(self.dense(states)))
        table = self._table()
        products = tf.matmul(tf.cast(states, self.compute_dtype), tf.cast(table, self.compute_dtype), transpose_b=True)
        logits = tf.cast(products, tf.float32)
        return logits + self.bias if self.transforms else logits

    @property
    def pytorch_class(self) -> str:
        """Name of the class in PyTorch's transformers that has such a head."""
        return self._names.pytorch_class

    @property
    def bias_name(self) -> str:
        """Name of the bias of the tokens, in `head_state`."""
        return self._names.bias

    def state(self) -> State:
        """Returns the head's weights with PyTorch's names and layout."""
        if not self.transforms:
            return {}
        return {name: np.ascontiguousarray(variable.numpy().T) for name, variable in self._by_name().items()}

    def load(self, state: State, source: str) -> None:
        """Loads the head's weights from a checkpoint's `head_state`.

        Raises:
            InputError: a weight has another shape.
        """
        for name, variable in self._by_name().items():
            value = np.asarray(state[name], np.float32).T
            if value.shape != tuple(variable.shape):
                raise InputError(
                    f"{source}: {name} has shape {list(value.T.shape)}, expected {list(variable.shape)[::-1]}. "
                    "Its config.json and weights belong to different models."
                )
            variable.assign(value)

    def _by_name(self) -> dict[str, tf.Variable]:
        if not self.transforms:
            return {}
        names = self._names
        return {
            f"{names.dense}.weight": self.dense.kernel,
            f"{names.dense}.bias": self.dense.bias,
            f"{names.norm}.weight": self.norm.gamma,
            f"{names.norm}.bias": self.norm.beta,
            names.bias: self.bias,
        }


def head_state(checkpoint: str, family: Family) -> State | None:
    """Reads the head's weights from a checkpoint folder, with PyTorch's names; None if it has no such head, {} if the
    head only has the word embeddings.

    Raises:
        InputError: parts of the head are missing, or its output matrix is not the word embeddings.
    """
    names = HEADS[family.model_type]
    source, state = read_checkpoint(checkpoint)
    known = in_pytorch(state)
    _refuse_untied(source, known)
    if not names.dense:
        return {}
    wanted = [f"{part}.{kind}" for part in (names.dense, names.norm) for kind in ("weight", "bias")] + [names.bias]
    found = {name: known[name] for name in wanted if name in known}
    if found and len(found) < len(wanted):
        missing = ", ".join(name for name in wanted if name not in found)
        raise InputError(
            f"{source} has only part of a masked-language-model head: {missing} is missing. Copy the file again."
        )
    return found or None


def _refuse_untied(source: str, state: State) -> None:
    table = next((array for name, array in state.items() if name.endswith(WORD_TABLES)), None)
    own = [name for name in DECODERS if name in state and table is not None and not np.array_equal(state[name], table)]
    if own:
        raise InputError(
            f"{source}: {own[0]} differs from the word embeddings, but heads here use these. Take a checkpoint with "
            "tied embeddings (tie_word_embeddings)."
        )


def _activation(named: str, config):
    from transformers.activations_tf import get_tf_activation

    return get_tf_activation(named.format(**config.to_dict()))
