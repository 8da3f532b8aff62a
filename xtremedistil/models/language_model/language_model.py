"""`LanguageModel`: an encoder with a language-modelling head, as student or teacher of a pre-training run.

Axes: B batch, S positions, H hidden, V tokens of the vocabulary, M predicted tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf
import tf_keras

from xtremedistil.models.architectures.families import Family
from xtremedistil.models.features.encoder_outputs import in_float32, model_inputs
from xtremedistil.models.features.extraction import encoder_features, top_state
from xtremedistil.models.language_model.language_head import LanguageHead

PREDICTED = "predicted"  # in a batch: row x S + position of each predicted token, int32 [M]


def language_inputs() -> dict[str, tf_keras.Input]:
    """Returns the inputs of every model, and the positions of predicted tokens."""
    return model_inputs() | {PREDICTED: tf_keras.Input((), dtype=tf.int32, name=PREDICTED)}


@dataclass(frozen=True)
class LanguageModel:
    """An encoder with a language-modelling head.

    Fields:
        head: None if no tokens are predicted.
    """

    encoder: object
    family: Family
    head: LanguageHead | None = None

    @property
    def weights(self) -> list[tf.Variable]:
        return [*self.encoder.weights, *(self.head.weights if self.head else [])]

    def tensors(self, inputs: dict, names: Sequence[str], *, logits: bool) -> dict[str, tf.Tensor]:
        """Returns the encoder's features `names`, from one run of it, and optionally "logits" [M, V]."""
        top = top_state(self.encoder)
        found = encoder_features(self.encoder, self.family, inputs, list(dict.fromkeys([*names, top])))
        if logits:
            found["logits"] = self.head(AtPositions(name="asked")(found[top], inputs[PREDICTED]))
        return found

    def feature_model(self, names: Sequence[str], *, logits: bool) -> tf_keras.Model:
        """Returns a model from the inputs to these tensors in float32."""
        inputs = language_inputs()
        tensors = self.tensors(inputs, names, logits=logits)
        wanted = [*names, *(["logits"] if logits else [])]
        return tf_keras.Model(inputs, {name: in_float32(tensors[name], name) for name in wanted}, name="features")


class AtPositions(tf_keras.layers.Layer):
    """Picks hidden states [M, H] at some positions of the flattened batch [B, S, H]."""

    def __init__(self, name: str):
        super().__init__(name=name, autocast=False)

    def call(self, states, positions):
        return tf.gather(tf.reshape(states, [-1, states.shape[-1]]), positions)


class AsConstant(tf_keras.layers.Layer):
    """A model inside another one, always in inference mode and without gradients."""

    def __init__(self, model: tf_keras.Model, name: str):
        super().__init__(name=name, autocast=False)
        self._model = model

    def call(self, inputs):
        return tf.nest.map_structure(tf.stop_gradient, self._model(inputs, training=False))
