"""Extracts tensors inside an encoder by name, in one run of it."""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import Family
from xtremedistil.models.features.attention_projections import projection_paths
from xtremedistil.models.features.encoder_outputs import EncoderOutputs, run_encoder
from xtremedistil.models.features.hooks import Recording
from xtremedistil.models.features.names import (
    ATTENTION_SCORES,
    ATTENTIONS,
    HIDDEN_STATES,
    KINDS,
    LOGITS,
    PROJECTIONS,
    FeatureName,
    parse_feature_name,
)
from xtremedistil.models.features.sub_layers import find_sub_layer, sub_layers

AHEAD = -1e4  # attention score of later tokens: excluded from a softmax, and within float16
_POSITIONS_FIRST = ("xlnet",)  # families whose inner hidden states are [S, B, H]


def encoder_features(
    encoder, family: Family, inputs: dict, names: Sequence[str], *, word_embeddings=None
) -> dict[str, tf.Tensor]:
    """Runs `encoder` once and returns the tensors `names`.

    Names:
        `hidden_states_i`: [B, S, H]; 0 = embeddings.
        `attentions_i`: [B, A, S, S], after softmax (and, in training, dropout), of layer i from 0.
        `queries_i`, `keys_i`, `values_i`: [B, S, H], heads concatenated.
        `attention_scores_i`: float32 [B, A, S, S], queries times keys divided by the square root of a head's width: the
            input of the softmax without the padding mask; -1e4 at later keys in families that read left to right.
        `logits`, `start_logits`, `end_logits`: for models with a head, float [B, L] or [B, S, L].
        any other: a path as in `sub_layers`, such as `encoder/layer_._1/intermediate`: output of that sub-layer,
            [B, S, W]; if it runs several times, of the last run.

    B batch, S positions, H hidden, W width of the sub-layer, A heads.

    Args:
        inputs, word_embeddings: as for `run_encoder`; tensors or Keras inputs.

    Raises:
        InputError: the encoder has no such name or layer.
    """
    for name in names:
        _require_known(encoder, family, name)
    if all(_is_given(name) for name in names):
        maps = _wants_maps(names)
        outputs = run_encoder(encoder, family, inputs, attentions=maps, word_embeddings=word_embeddings)
        return {name: _given(outputs, name) for name in names}
    return HookedEncoder(encoder, family, names)(inputs, word_embeddings=word_embeddings)


def top_state(encoder) -> str:
    """Returns the name of an encoder's last hidden state."""
    return str(FeatureName(HIDDEN_STATES, encoder.config.num_hidden_layers))


class HookedEncoder(tf_keras.layers.Layer):
    """An encoder with outputs of its sub-layers, as one node of a functional model.

    The encoder is unchanged: its weights keep their names and order. Called as `encoder_features`.
    """

    def __init__(self, encoder, family: Family, names: Sequence[str]):
        super().__init__(name=f"{encoder.name}_features", autocast=False)
        self._encoder, self._family, self._names = encoder, family, tuple(names)

    def call(self, inputs, word_embeddings=None, training=None):  # Keras passes `training` on only if it is named here
        paths = {path for name in self._names for path in _paths(self._family, name)}
        layers = {path: find_sub_layer(self._encoder, path) for path in sorted(paths)}
        with Recording(list(layers.values())) as recording:
            outputs = run_encoder(
                self._encoder,
                self._family,
                inputs,
                attentions=_wants_maps(self._names),
                word_embeddings=word_embeddings,
            )
        tapped = {path: self._tapped(recording, path, layer) for path, layer in layers.items()}
        return {name: self._feature(name, outputs, tapped) for name in self._names}

    def _tapped(self, recording: Recording, path: str, layer) -> tf.Tensor:
        tensor = recording.output(layer)
        if tensor is None:
            raise ValueError(f"{type(self._encoder).__name__} does not run its sub-layer {path!r} here.")
        turned = self._family.model_type in _POSITIONS_FIRST and tensor.shape.rank == 3
        return tf.transpose(tensor, [1, 0, 2]) if turned else tensor

    def _feature(self, name: str, outputs: EncoderOutputs, tapped: dict[str, tf.Tensor]) -> tf.Tensor:
        if _is_given(name):
            return _given(outputs, name)
        parsed = parse_feature_name(name)
        if parsed is None:
            return tapped[name]
        parts = self._projections(parsed.layer, tapped)
        if parsed.kind == ATTENTION_SCORES:
            scores = attention_scores(parts["queries"], parts["keys"], self._encoder.config.num_attention_heads)
            return scores if self._family.reads_ahead else _mask_later_tokens(scores)
        return parts[parsed.kind]

    def _projections(self, layer: int, tapped: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns queries, keys and values of a layer, [B, S, H] each."""
        parts = [tapped[path] for path in projection_paths(self._family, layer)]
        return dict(zip(PROJECTIONS, tf.split(parts[0], 3, axis=-1) if len(parts) == 1 else parts, strict=True))


def attention_scores(queries: tf.Tensor, keys: tf.Tensor, heads: int) -> tf.Tensor:
    """Returns float32 [B, A, S, S] for [B, S, H] each: scaled products, before mask and softmax."""
    queries, keys = (_split_heads(tf.cast(states, tf.float32), heads) for states in (queries, keys))
    return tf.matmul(queries, keys, transpose_b=True) / queries.shape[-1] ** 0.5


def _mask_later_tokens(scores: tf.Tensor) -> tf.Tensor:
    length = tf.shape(scores)[-1]
    return tf.where(tf.range(length)[:, None] >= tf.range(length), scores, AHEAD)


def _split_heads(states: tf.Tensor, heads: int) -> tf.Tensor:
    """Reshapes [B, S, H] to [B, A, S, H / A]."""
    batch, length = tf.unstack(tf.shape(states)[:2])
    return tf.transpose(tf.reshape(states, [batch, length, heads, states.shape[-1] // heads]), [0, 2, 1, 3])


def _is_given(name: str) -> bool:
    """Whether the encoder returns this output without hooks."""
    if name in LOGITS:
        return True
    parsed = parse_feature_name(name)
    return parsed is not None and parsed.kind in (HIDDEN_STATES, ATTENTIONS)


def _given(outputs: EncoderOutputs, name: str) -> tf.Tensor:
    if name in LOGITS:
        return outputs.logits[name]
    kind, layer = parse_feature_name(name)
    return {HIDDEN_STATES: outputs.hidden_states, ATTENTIONS: outputs.attentions}[kind][layer]


def _wants_maps(names: Sequence[str]) -> bool:
    parsed = [parse_feature_name(name) for name in names]
    return any(name is not None and name.kind == ATTENTIONS for name in parsed)


def _paths(family: Family, name: str) -> list[str]:
    """Returns the paths of the sub-layers that an output is computed from."""
    if _is_given(name):
        return []
    parsed = parse_feature_name(name)
    return [name] if parsed is None else projection_paths(family, parsed.layer)


def _require_known(encoder, family: Family, name: str) -> None:
    if name in LOGITS:
        return
    parsed, layers = parse_feature_name(name), encoder.config.num_hidden_layers
    if parsed is not None and parsed.layer < layers + (parsed.kind == HIDDEN_STATES):
        _paths(family, name)  # raises for families without such layers
    elif parsed is None and ("/" in name or name in sub_layers(encoder)):
        find_sub_layer(encoder, name)
    else:
        raise InputError(f"The encoder has no output {name}; it has {_known(encoder, layers)}.")


def _known(encoder, layers: int) -> str:
    last = {kind: layers - (kind != HIDDEN_STATES) for kind in KINDS}
    ranges = ", ".join(f"{kind}_0 to {kind}_{number}" for kind, number in last.items())
    example = next(path for path in sub_layers(encoder) if "/" in path)
    return f"{ranges}, and the output of each sub-layer, by paths such as {example}"
