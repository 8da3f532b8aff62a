"""Runs an encoder and returns its outputs by name."""

from typing import NamedTuple

import tensorflow as tf
import tf_keras

from xtremedistil.data.padding import INPUT_NAMES
from xtremedistil.models.architectures.families import Family
from xtremedistil.models.features.names import LOGITS

# A classifier does not need keys and values cached for the next call.
_WITHOUT_MEMORY = {
    "gpt2": {"use_cache": False},
    "ctrl": {"use_cache": False},
    "xlnet": {"use_mems": False},
}


class EncoderOutputs(NamedTuple):
    """Outputs of an encoder. Axes: B batch, S positions, H hidden, A heads.

    Fields:
        hidden_states: list of [B, S, H], one more than there are layers: 0 = embeddings, -1 = last.
        attentions: list of [B, A, S, S], one per layer, after softmax (and, in training, dropout); empty unless
            requested.
        logits: by name, for models with a head: [B, L] or [B, S, L]; [B, S, 1] each for start and end of a span.
    """

    hidden_states: list[tf.Tensor]
    attentions: list[tf.Tensor]
    logits: dict[str, tf.Tensor]


def model_inputs() -> dict[str, tf_keras.Input]:
    """Returns the three inputs of every model here: int32 [B, S], for any B and S."""
    return {name: tf_keras.Input((None,), dtype=tf.int32, name=name) for name in INPUT_NAMES}


def run_encoder(
    encoder, family: Family, inputs: dict, *, attentions: bool = False, word_embeddings=None
) -> EncoderOutputs:
    """Runs `encoder` once.

    Args:
        inputs: `input_ids`, `attention_mask` (1 = token, 0 = padding), `token_type_ids`, int32 [B, S]. Padded ids must
            be the tokenizer's padding id: the RoBERTa families count positions by it.
        word_embeddings: optional [B, S, H], in place of those that the encoder would look up for `input_ids`.
    """
    fed = {"input_ids": inputs["input_ids"]} if word_embeddings is None else {"inputs_embeds": word_embeddings}
    fed["attention_mask"] = inputs["attention_mask"]
    if family.takes_token_types and getattr(encoder.config, "type_vocab_size", 2) > 1:
        fed["token_type_ids"] = inputs["token_type_ids"]
    memory = _WITHOUT_MEMORY.get(family.model_type, {})
    outputs = encoder(fed, output_hidden_states=True, output_attentions=attentions, return_dict=True, **memory)
    maps = list(outputs.attentions) if attentions else []
    return EncoderOutputs(list(outputs.hidden_states), maps, _logits(outputs))


def _logits(outputs) -> dict[str, tf.Tensor]:
    found = {name: getattr(outputs, name, None) for name in LOGITS}
    return {
        name: tensor if name == "logits" else tensor[..., None] for name, tensor in found.items() if tensor is not None
    }


def pick_summary(hidden_state: tf.Tensor, attention_mask: tf.Tensor, family: Family) -> tf.Tensor:
    """Returns the hidden state [B, H] that represents each row: that of its first, or of its last token.

    Rows without any token give their first position.
    """
    if family.summary == "first":
        return hidden_state[:, 0]
    places = tf.range(tf.shape(attention_mask)[1])
    last = tf.reduce_max(attention_mask * places, axis=1)
    return tf.gather(hidden_state, last, batch_dims=1)


class Summary(tf_keras.layers.Layer):
    """`pick_summary` as a named layer."""

    def __init__(self, family: Family, name: str):
        super().__init__(name=name, autocast=False)  # no autocast: a teacher's hidden state must not be rounded
        self._family = family

    def call(self, hidden_state, attention_mask):
        return pick_summary(hidden_state, attention_mask, self._family)


def in_float32(tensor, name: str):
    """Makes `tensor` a float32 output of that name (which may be a path), under every precision policy."""
    return tf_keras.layers.Activation("linear", dtype="float32", name=name.replace("/", "."))(tensor)
