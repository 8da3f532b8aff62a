"""The teacher: an encoder with a classifier on its last hidden state."""

from collections.abc import Sequence
from dataclasses import dataclass

import tf_keras

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import Family
from xtremedistil.models.architectures.text_heads import TEXT_HEADS
from xtremedistil.models.checkpoints.h5_weights import read_weights
from xtremedistil.models.checkpoints.pretrained import hidden_dropout
from xtremedistil.models.checkpoints.tuned_head import TunedHead
from xtremedistil.models.classifier import Classifier
from xtremedistil.models.features.encoder_outputs import Summary, in_float32, model_inputs, run_encoder
from xtremedistil.models.features.extraction import encoder_features, top_state
from xtremedistil.tasks.problem_types import CLASSES

HEAD_NAME = "final_logits"
INNER_NAME = "classifier_dense"  # of the linear layer below, which classifiers of texts have that a checkpoint brings
DEFAULT_INITIALIZER_RANGE = 0.02


@dataclass(frozen=True)
class Teacher(Classifier):
    """A teacher and its parts.

    Fields:
        model: takes `input_ids`, `attention_mask`, `token_type_ids`, int32 [B, S]; returns {"logits": float32
            [B, S, L] for tagging, [B, L] for classification}. B batch, S positions, L labels.
        encoder: the Hugging Face model.
        head: the dense layer on its last hidden state. inner: a dense layer with an activation between the two, which
            the classifier of a tuned checkpoint may have.
        labels: names of its logits; empty if they are not known.
        by_position: whether each token has logits. problem_type: what they mean, see `problem_types`.
    """

    model: tf_keras.Model
    encoder: tf_keras.Model
    head: tf_keras.layers.Layer
    family: Family
    by_position: bool
    problem_type: str = CLASSES
    inner: tf_keras.layers.Layer | None = None
    labels: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, list]:
        """Variables by layer, as in the weight file `model-ft.h5`."""
        layers = [self.encoder, *([self.inner] if self.inner else []), self.head]
        return {layer.name: list(layer.weights) for layer in layers}

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
        state = _classified(found[top], inputs, self.family, self.by_position)
        found["logits"] = self.head(self.inner(state) if self.inner else state)
        return tf_keras.Model(inputs, {name: in_float32(found[name], name) for name in names}, name="teacher_features")


def build_teacher(
    encoder,
    family: Family,
    *,
    by_position: bool,
    num_labels: int,
    problem_type: str = CLASSES,
    inner_width: int | None = None,
    tuned: TunedHead | None = None,
) -> Teacher:
    """Adds dropout (the encoder's own rate) and a classifier, of tokens or of rows, to `encoder`.

    Args:
        inner_width: of a dense layer with the family's activation below the classifier; None: there is none.
        tuned: gives the classifier its weights, and `inner_width`.
    """
    inputs = model_inputs()
    state = run_encoder(encoder, family, inputs).hidden_states[-1]
    state = _classified(state, inputs, family, by_position)
    if tuned and tuned.inner:
        inner_width = len(tuned.inner.bias)
    inner = None
    if inner_width:
        activation = TEXT_HEADS[family.model_type].activation
        inner = tf_keras.layers.Dense(inner_width, activation, dtype="float32", name=INNER_NAME)
        state = inner(state)
    state = tf_keras.layers.Dropout(hidden_dropout(encoder, family), name="teacher_dropout")(state)
    spread = getattr(encoder.config, "initializer_range", DEFAULT_INITIALIZER_RANGE)
    initializer = tf_keras.initializers.TruncatedNormal(stddev=spread)
    head = tf_keras.layers.Dense(num_labels, kernel_initializer=initializer, dtype="float32", name=HEAD_NAME)
    model = tf_keras.Model(inputs, {"logits": head(state)}, name="teacher")
    if tuned:
        _assign(tuned, head, inner)
    return Teacher(model, encoder, head, family, by_position, problem_type, inner)


def head_widths(path: str) -> tuple[int, int | None]:
    """Returns the number of labels of a `model-ft.h5`, and the width of a dense layer below them (None: there is none).

    Raises:
        InputError: it has no classifier.
    """
    layers = read_weights(path)
    biases = [layers.get(name, {}).get(f"{name}/bias:0") for name in (HEAD_NAME, INNER_NAME)]
    if biases[0] is None:
        raise InputError(f"{path} is not a fine-tuned teacher: it has no layer {HEAD_NAME}.")
    return len(biases[0]), None if biases[1] is None else len(biases[1])


def _assign(tuned: TunedHead, head: tf_keras.layers.Dense, inner: tf_keras.layers.Dense | None) -> None:
    """Gives the layers the weights of a classifier; raises InputError if it is of another width."""
    for layer, linear in ((head, tuned.outer), (inner, tuned.inner)):
        if linear is None:
            continue
        if linear.kernel.shape != tuple(layer.kernel.shape):
            raise InputError(
                f"The checkpoint's classifier has a weight {list(linear.kernel.shape)}, {list(layer.kernel.shape)} is "
                "expected by its config.json. Its files belong to different models."
            )
        layer.kernel.assign(linear.kernel)
        layer.bias.assign(linear.bias)


def _classified(state, inputs: dict, family: Family, by_position: bool):
    """Returns the hidden states that the classifier reads: all, or that of each row's summary position."""
    if by_position:
        return state
    return Summary(family, name="summary")(state, inputs["attention_mask"])
