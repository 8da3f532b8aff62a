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
        model: `input_ids`, `attention_mask`, `token_type_ids`, int32 [B, S], in; {"logits": float32 [B, S, L] for
            tagging, [B, L] for classification} out. B batch, S positions, L labels.
        encoder: the Hugging Face model inside.
        head: the dense layer on its last hidden state.
        by_position: whether there are logits for each position. problem_type: what they say, see `problem_types`.
    """

    model: tf_keras.Model
    encoder: tf_keras.Model
    head: tf_keras.layers.Layer
    family: Family
    by_position: bool
    problem_type: str = CLASSES

    @property
    def parts(self) -> dict[str, list]:
        """Variables by layer, as the weight file `model-ft.h5` has them."""
        return {self.encoder.name: list(self.encoder.weights), self.head.name: list(self.head.weights)}

    @property
    def weights(self) -> list:
        return [variable for block in self.parts.values() for variable in block]

    def feature_model(self, names: Sequence[str]) -> tf_keras.Model:
        """The tensors that a student is to match, for inference: there is no dropout before the logits.

        Args:
            names: "logits" and what `encoder_features` knows: "hidden_states_i" (0 = embeddings), "attentions_i",
                "queries_i", "keys_i", "values_i", "attention_scores_i" (i from 0), paths of sub-layers.

        Returns:
            A model from the three inputs to {name: float32}: all positions [B, S, H] of states, maps [B, A, S, S],
            A heads.

        Raises:
            ValueError: a name that is none of these, or a layer that the teacher has not.
        """
        inputs, top = model_inputs(), top_state(self.encoder)
        wanted = [name for name in names if name != "logits"]
        found = encoder_features(self.encoder, self.family, inputs, [top, *wanted])
        found["logits"] = self.head(_classified(found[top], inputs, self.family, self.by_position))
        return tf_keras.Model(inputs, {name: in_float32(found[name], name) for name in names}, name="teacher_features")


def build_teacher(
    encoder, family: Family, *, by_position: bool, num_labels: int, problem_type: str = CLASSES
) -> Teacher:
    """Puts dropout (the encoder's own rate) and a classifier, of positions or of rows, on `encoder`."""
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
    """What the classifier reads: all positions, or the summary position of each row."""
    if by_position:
        return state
    return Summary(family, name="summary")(state, inputs["attention_mask"])
