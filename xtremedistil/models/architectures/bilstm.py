"""A BiLSTM encoder: bidirectional LSTM layers on word embeddings.

It is the student of the first XtremeDistil (Mukherjee and Hassan Awadallah, 2020, section 3), with a layer norm on the
embeddings as in BERT: embeddings with BERT's standard deviation, 0.02, are too small for an LSTM.

Names, calls and outputs are those of a Hugging Face encoder, so that `run_encoder` works with both; there are no
attention maps. Hidden states are those before dropout.

Axes: B batch, S positions, E width of the word embeddings, U units per direction.
"""

import tensorflow as tf
import tf_keras
from transformers import PretrainedConfig
from transformers.modeling_tf_outputs import TFBaseModelOutput

from xtremedistil.models.architectures.lstm import run_lstm


class BilstmConfig(PretrainedConfig):
    """Sizes of a `BilstmModel`.

    Args:
        embedding_size: E. lstm_units: U.
        hidden_dropout_prob: rate of dropout before each layer.
    """

    model_type = "bilstm"
    num_attention_heads = 0

    def __init__(
        self,
        vocab_size: int = 30522,
        embedding_size: int = 128,
        lstm_units: int = 128,
        num_hidden_layers: int = 1,
        hidden_dropout_prob: float = 0.1,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int = 0,
        **others,
    ):
        super().__init__(pad_token_id=pad_token_id, **others)
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size
        self.lstm_units = lstm_units
        self.num_hidden_layers = num_hidden_layers
        self.hidden_dropout_prob = hidden_dropout_prob
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states above the embeddings: both directions concatenated."""
        return 2 * self.lstm_units


class BilstmModel(tf_keras.Model):
    """Returns hidden states [B, S, E] (embeddings), then [B, S, 2U] for each layer.

    Rows must be padded on the right; padding changes nothing, and its hidden states are 0.
    """

    base_model_prefix = "bilstm"

    def __init__(self, config: BilstmConfig, name: str):
        super().__init__(name=name)
        self.config = config
        initializer = tf_keras.initializers.TruncatedNormal(stddev=config.initializer_range)
        self.word_embeddings = tf_keras.layers.Embedding(
            config.vocab_size, config.embedding_size, initializer, name="word_embeddings"
        )
        self.norm = tf_keras.layers.LayerNormalization(epsilon=config.layer_norm_eps, name="LayerNorm")
        self.bilstm_layers = [
            BilstmLayer(config.lstm_units, config.hidden_dropout_prob, name=f"layer_{number}")
            for number in range(config.num_hidden_layers)
        ]

    def build_in_name_scope(self) -> None:
        """Creates the weights, whose names begin with the model's name."""
        one = tf.ones([1, 1], tf.int32)
        self({"input_ids": 0 * one, "attention_mask": one})

    def get_input_embeddings(self) -> tf_keras.layers.Layer:
        return self.word_embeddings

    def call(self, inputs, output_hidden_states=True, output_attentions=False, return_dict=True):
        """Takes `input_ids` int32 [B, S] (or `inputs_embeds` float [B, S, E]) and `attention_mask` int32 [B, S].

        Always returns all hidden states; the flags are ignored.
        """
        words = inputs["inputs_embeds"] if "inputs_embeds" in inputs else self.word_embeddings(inputs["input_ids"])
        states = [self.norm(words)]
        for layer in self.bilstm_layers:
            states.append(layer(states[-1], inputs["attention_mask"]))
        return TFBaseModelOutput(last_hidden_state=states[-1], hidden_states=tuple(states))


class BilstmLayer(tf_keras.layers.Layer):
    """Dropout, then both directions: takes [B, S, I] and the mask [B, S]; returns [B, S, 2U], 0 at padding."""

    def __init__(self, units: int, dropout_rate: float, name: str):
        super().__init__(name=name)
        self.dropout = tf_keras.layers.Dropout(dropout_rate, name="dropout")
        self.forward = LstmDirection(units, name="forward")
        self.backward = LstmDirection(units, name="backward")

    def call(self, states, attention_mask):
        states = self.dropout(states)
        lengths = tf.reduce_sum(attention_mask, axis=1)
        backward = _reversed(self.backward(_reversed(states, lengths)), lengths)
        both = tf.concat([self.forward(states), backward], axis=-1)
        return both * tf.cast(attention_mask, both.dtype)[..., None]


def _reversed(states, lengths) -> tf.Tensor:
    """Reverses each row, but leaves its padding at the end."""
    return tf.reverse_sequence(states, lengths, seq_axis=1)


class LstmDirection(tf_keras.layers.Layer):
    """An LSTM from left to right: takes [B, S, I], returns [B, S, U]; weights and initialization as in Keras' LSTM."""

    def __init__(self, units: int, name: str):
        super().__init__(name=name)
        self._units = units

    def build(self, input_shape) -> None:
        gates = 4 * self._units
        self.kernel = self.add_weight("kernel", [input_shape[-1], gates], initializer="glorot_uniform")
        self.recurrent_kernel = self.add_weight(
            "recurrent_kernel", [self._units, gates], initializer="orthogonal", experimental_autocast=False
        )
        self.bias = self.add_weight("bias", [gates], initializer=_open_forget_gates)

    def call(self, states):
        return run_lstm(states, self.kernel, self.recurrent_kernel, self.bias)


def _open_forget_gates(shape, dtype=None, **_) -> tf.Tensor:
    """Initializes biases: 1 for forget gates, so that a new LSTM remembers (Jozefowicz et al., 2015), 0 for others."""
    units = shape[0] // 4
    return tf.one_hot(tf.repeat([0, 1, 2, 3], units), 4, dtype=dtype)[:, 1]
