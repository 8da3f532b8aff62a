"""`LanguageModel`: an encoder with its head for words, as student or teacher of a pre-training run.

Axes: B batch, S positions, H hidden, V tokens, M positions that are asked about.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf
import tf_keras

from xtremedistil.models.architectures.families import Family
from xtremedistil.models.features.encoder_outputs import in_float32, model_inputs
from xtremedistil.models.features.extraction import encoder_features, top_state
from xtremedistil.models.language_model.language_head import LanguageHead

PREDICTED = "predicted"  # of a batch: row x S + position of each position that is asked about, int32 [M]


def language_inputs() -> dict[str, tf_keras.Input]:
    """The inputs of every model, and the positions that are asked about."""
    return model_inputs() | {PREDICTED: tf_keras.Input((), dtype=tf.int32, name=PREDICTED)}


@dataclass(frozen=True)
class LanguageModel:
    """Fields:
    head: None where the model is not asked about words.
    """

    encoder: object
    family: Family
    head: LanguageHead | None = None

    @property
    def weights(self) -> list[tf.Variable]:
        return [*self.encoder.weights, *(self.head.weights if self.head else [])]

    def tensors(self, inputs: dict, names: Sequence[str], *, logits: bool) -> dict[str, tf.Tensor]:
        """What is inside the encoder by name, from one run of it, and "logits" [M, V] if they are wanted."""
        top = top_state(self.encoder)
        found = encoder_features(self.encoder, self.family, inputs, list(dict.fromkeys([*names, top])))
        if logits:
            found["logits"] = self.head(AtPositions(name="asked")(found[top], inputs[PREDICTED]))
        return found

    def feature_model(self, names: Sequence[str], *, logits: bool) -> tf_keras.Model:
        """Inputs in, these tensors in float32 out."""
        inputs = language_inputs()
        tensors = self.tensors(inputs, names, logits=logits)
        wanted = [*names, *(["logits"] if logits else [])]
        return tf_keras.Model(inputs, {name: in_float32(tensors[name], name) for name in wanted}, name="features")


class AtPositions(tf_keras.layers.Layer):
    """States [B, S, H] at some positions of the flattened batch, [M, H]."""

    def __init__(self, name: str):
        super().__init__(name=name, autocast=False)

    def call(self, states, positions):
        return tf.gather(tf.reshape(states, [-1, states.shape[-1]]), positions)


class AsConstant(tf_keras.layers.Layer):
    """A model as part of another one, always in inference mode: nothing is trained through it."""

    def __init__(self, model: tf_keras.Model, name: str):
        super().__init__(name=name, autocast=False)
        self._model = model

    def call(self, inputs):
        return tf.nest.map_structure(tf.stop_gradient, self._model(inputs, training=False))
