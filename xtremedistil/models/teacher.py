"""The teacher: an encoder with a classifier on its last hidden state."""

from collections.abc import Sequence
from dataclasses import dataclass

import tf_keras

from xtremedistil.models.architectures.families import Family
from xtremedistil.models.checkpoints.pretrained import hidden_dropout
from xtremedistil.models.classifier import Classifier
from xtremedistil.models.features.encoder_outputs import Summary, in_float32, model_inputs, run_encoder
from xtremedistil.models.features.extraction import encoder_features, top_state
from xtremedistil.tasks.problem_types import CLASSES

HEAD_NAME = "final_logits"
DEFAULT_INITIALIZER_RANGE = 0.02


@dataclass(frozen=True)
class Teacher(Classifier):
    """A teacher and its parts.

    Fields:
        model: takes `input_ids`, `attention_mask`, `token_type_ids`, int32 [B, S]; returns {"logits": float32
            [B, S, L] for tagging, [B, L] for classification}. B batch, S positions, L labels.
        encoder: the Hugging Face model.
        head: the dense layer on its last hidden state.
        by_position: whether each token has logits. problem_type: what they mean, see `problem_types`.
    """

    model: tf_keras.Model
    encoder: tf_keras.Model
    head: tf_keras.layers.Layer
    family: Family
    by_position: bool
    problem_type: str = CLASSES

    @property
    def parts(self) -> dict[str, list]:
        """Variables by layer, as in the weight file `model-ft.h5`."""
        return {self.encoder.name: list(self.encoder.weights), self.head.name: list(self.head.weights)}

    @property
    def weights(self) -> list:
        return [variable for block in self.parts.values() for variable in block]

    def feature_model(self, names: Sequence[str]) -> tf_keras.Model:
        """Makes a model, for inference without dropout, of the tensors that a student learns from.

        Args:
            names: "logits" and the features of `encoder_features`: "hidden_states_i" (0 = embeddings), "attentions_i",
                "queries_i", "keys_i", "values_i", "attention_scores_i" (i from 0), paths of sub-layers.

        Returns:
            A model from the three inputs to {name: float32}: hidden states [B, S, H], attention maps [B, A, S, S] with
            A heads.

        Raises:
            ValueError: a name is unknown, or a layer does not exist.
        """
        inputs, top = model_inputs(), top_state(self.encoder)
        wanted = [name for name in names if name != "logits"]
        found = encoder_features(self.encoder, self.family, inputs, [top, *wanted])
        found["logits"] = self.head(_classified(found[top], inputs, self.family, self.by_position))
        return tf_keras.Model(inputs, {name: in_float32(found[name], name) for name in names}, name="teacher_features")


def build_teacher(
    encoder, family: Family, *, by_position: bool, num_labels: int, problem_type: str = CLASSES
) -> Teacher:
    """Adds dropout (the encoder's own rate) and a classifier, of tokens or of rows, to `encoder`."""
    inputs = model_inputs()
    state = run_encoder(encoder, family, inputs).hidden_states[-1]
    state = _classified(state, inputs, family, by_position)
    state = tf_keras.layers.Dropout(hidden_dropout(encoder, family), name="teacher_dropout")(state)
    spread = getattr(encoder.config, "initializer_range", DEFAULT_INITIALIZER_RANGE)
    initializer = tf_keras.initializers.TruncatedNormal(stddev=spread)
    head = tf_keras.layers.Dense(num_labels, kernel_initializer=initializer, dtype="float32", name=HEAD_NAME)
    model = tf_keras.Model(inputs, {"logits": head(state)}, name="teacher")
    return Teacher(model, encoder, head, family, by_position, problem_type)


def _classified(state, inputs: dict, family: Family, by_position: bool):
    """Returns the hidden states that the classifier reads: all, or that of each row's summary position."""
    if by_position:
        return state
    return Summary(family, name="summary")(state, inputs["attention_mask"])
