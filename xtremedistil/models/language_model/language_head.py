"""`LanguageHead`: which token of the vocabulary stands at a position, out of an encoder's last state.

All families with such a head have the same one: a dense layer, an activation, a norm, and the product with the word
table that the encoder begins with, plus a bias. GPT-2 has the product alone.

Axes: M positions that are asked about, H hidden, E width of the word table, V tokens.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import Family
from xtremedistil.models.checkpoints.pretrained import read_checkpoint
from xtremedistil.models.checkpoints.weight_files import State
from xtremedistil.models.features.word_embeddings import word_embedding_variable

SPREAD = 0.02  # standard deviation of new weights
NORM_EPSILON = 1e-12


@dataclass(frozen=True)
class HeadNames:
    """What PyTorch's transformers call the parts of a family's head, and the class that has it.

    Fields:
        activation: of the dense layer, or the field of the configuration that names it, in braces.
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

# What checkpoints call the table that states are multiplied with, and the word table, which it should be.
DECODERS = (
    "cls.predictions.decoder.weight",
    "lm_head.decoder.weight",
    "lm_head.weight",
    "vocab_projector.weight",
    "generator_lm_head.weight",
)

WORD_TABLES = ("word_embeddings.weight", "wte.weight")


class LanguageHead(tf_keras.layers.Layer):
    """States [M, H] in, float32 logits [M, V] out.

    The word table is the encoder's: it is trained, saved and counted there.
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
        """The class of PyTorch's transformers that has such a head."""
        return self._names.pytorch_class

    @property
    def bias_name(self) -> str:
        """Of the bias of each token, in `head_state`."""
        return self._names.bias

    def state(self) -> State:
        """Its weights by PyTorch's names and in its layout."""
        if not self.transforms:
            return {}
        return {name: np.ascontiguousarray(variable.numpy().T) for name, variable in self._by_name().items()}

    def load(self, state: State, source: str) -> None:
        """Takes its weights out of a checkpoint's `head_state`.

        Raises:
            InputError: one of them has another shape.
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
    """The head's weights of a checkpoint folder by PyTorch's names; None where it has no such head, {} where the head
    is the word table alone.

    Raises:
        InputError: parts of the head are missing, or it has a word table of its own.
    """
    names = HEADS[family.model_type]
    source, state = read_checkpoint(checkpoint)
    known = _in_pytorch(state)
    _refuse_untied(source, known)
    if not names.dense:
        return {}
    wanted = [f"{part}.{kind}" for part in (names.dense, names.norm) for kind in ("weight", "bias")] + [names.bias]
    found = {name: known[name] for name in wanted if name in known}
    if found and len(found) < len(wanted):
        missing = ", ".join(name for name in wanted if name not in found)
        raise InputError(f"{source} has half a head for masked words: {missing} is missing. Copy the file again.")
    return found or None


def _refuse_untied(source: str, state: State) -> None:
    table = next((array for name, array in state.items() if name.endswith(WORD_TABLES)), None)
    own = [name for name in DECODERS if name in state and table is not None and not np.array_equal(state[name], table)]
    if own:
        raise InputError(
            f"{source}: {own[0]} differs from the word embeddings, and heads here have these as their table. Take a "
            "checkpoint whose two tables are tied (tie_word_embeddings)."
        )


def _in_pytorch(state: State) -> State:
    """The same arrays by PyTorch's names and in its layout, whichever file they came from."""
    from transformers.modeling_tf_pytorch_utils import convert_tf_weight_name_to_pt_weight_name

    renamed = {}
    for name, array in state.items():
        if name.endswith(":0"):
            name, transpose = convert_tf_weight_name_to_pt_weight_name(name, tf_weight_shape=array.shape)
            array = array if transpose.value == "no" else array.T
        renamed[name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")] = array
    return renamed


def _activation(named: str, config):
    from transformers.activations_tf import get_tf_activation

    return get_tf_activation(named.format(**config.to_dict()))
