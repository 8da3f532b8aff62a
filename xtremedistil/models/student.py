"""The student: a small encoder, a projection if the teacher has another width, and a classifier."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import tf_keras

from xtremedistil.models.architectures.families import Family, student_family
from xtremedistil.models.checkpoints.pretrained import hidden_dropout, new_encoder_from_config
from xtremedistil.models.classifier import Classifier
from xtremedistil.models.factorized_embedding import MappedEmbedding
from xtremedistil.models.features.encoder_outputs import Summary, in_float32, model_inputs, run_encoder
from xtremedistil.models.features.extraction import encoder_features, top_state
from xtremedistil.models.features.word_embeddings import word_embedding_variable
from xtremedistil.models.projections import PROJECTION_SPREAD, Match, matched_tensors
from xtremedistil.tasks.problem_types import CLASSES

ENCODER_NAME = "student_2"  # names as in the original release, whose weight files have the same layout
PROJECTION_NAME = "dense_2"
HEAD_NAME = "dense"
STATE = "state"  # the hidden states that projection and head read


PACKAGE = "xtremedistil"  # of the class, in what Keras writes


@tf_keras.utils.register_keras_serializable(PACKAGE)
class StudentModel(tf_keras.Model):
    """A functional model from `input_ids`, `attention_mask`, `token_type_ids`, int32 [B, S], to {"logits"}.

    Keras would write down each layer of it, and cannot build those of Hugging Face again. This class writes down what a
    student is made of, and builds it anew: `tf.keras.models.load_model` needs no `custom_objects` where this module has
    been imported, as it is once a student has been loaded.
    """

    made_of: dict = {}

    def get_config(self) -> dict:
        """Returns what `from_config` builds the same model of."""
        return {"name": self.name, **self.made_of}

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> "StudentModel":
        made_of = dict(config)
        made_of.pop("name", None)
        encoder_config = made_of.pop("encoder")
        family = student_family(encoder_config["model_type"])
        encoder = new_encoder_from_config(encoder_config, family, name=ENCODER_NAME)
        return build_student(encoder, family, **made_of).model


# `.h5` files and JSON name the class without its package.
tf_keras.utils.get_custom_objects()[StudentModel.__name__] = StudentModel


def encoder_settings(encoder: tf_keras.Model, family: Family) -> dict:
    """Returns the configuration of an encoder, as a model folder has it."""
    return encoder.config.to_diff_dict() | {"model_type": family.model_type}


def load_keras_model(path: str, **options):
    """Loads a Keras model (`.keras`, `.h5` or SavedModel) with a student in it, in a process that has loaded none yet.

    Args:
        path: as `tf.keras.models.load_model` takes it; so are the other arguments.
    """
    return tf_keras.models.load_model(path, **options)


@dataclass
class Student(Classifier):
    """A student and its parts.

    Fields:
        encoder: the Hugging Face model, or one with the same interface.
        projection: linear layer from the top hidden state to the teacher's width; None if the widths are equal. In
            students made from Hugging Face's text classifiers, an activation follows it.
        head: dense layer from the projected top hidden state to the logits.
        by_position: whether each token has logits. problem_type: what they mean, see `problem_types`.
        dropout_rate: of dropout before projection and head.
        labels: names of its logits; empty if they are not known.
        word_map: replaces the encoder's word embeddings during training; None: they are trained directly.
        model: the deployed model: takes `input_ids`, `attention_mask`, `token_type_ids`, int32 [B, S]; returns
            {"logits": float32 [B, S, L] for tagging, [B, L] for classification}. B batch, S positions, L labels.
        training_model: the same model with `word_map`.
    """

    encoder: tf_keras.Model
    projection: tf_keras.layers.Layer | None
    head: tf_keras.layers.Layer
    family: Family
    by_position: bool
    teacher_hidden_size: int
    dropout_rate: float
    word_map: MappedEmbedding | None = None
    problem_type: str = CLASSES
    labels: tuple[str, ...] = ()
    model: tf_keras.Model = field(init=False)
    training_model: tf_keras.Model = field(init=False)

    def __post_init__(self) -> None:
        inputs = model_inputs()
        top_state = run_encoder(self.encoder, self.family, inputs).hidden_states[-1]
        self.model = StudentModel(inputs, {"logits": self._logits(top_state, inputs)}, name="student")
        self.model.made_of = self._made_of()
        self.training_model = self.model if self.word_map is None else self.matching_model([])[0]

    def _made_of(self) -> dict:
        """Returns what `build_student` builds the same student of, but for its weights."""
        return {
            "encoder": encoder_settings(self.encoder, self.family),
            "by_position": self.by_position,
            "num_labels": self.head.units,
            "teacher_hidden_size": self.teacher_hidden_size,
            "dropout_rate": self.dropout_rate,
            "projection_activation": self.projection_activation,
            "problem_type": self.problem_type,
        }

    @property
    def weights(self) -> list:
        """All variables that may be trained; for word embeddings, these or the matrix of `word_map`."""
        variables = [variable for block in self.blocks.values() for variable in block]
        if self.word_map is None:
            return variables
        table = word_embedding_variable(self.encoder)
        return [variable for variable in variables if variable is not table] + [self.word_map.kernel]

    @property
    def trainable_weights(self) -> list:
        """Variables of layers that are not frozen."""
        return [variable for variable in self.weights if variable.trainable]

    def sync_word_embeddings(self) -> None:
        """Writes trained word embeddings into the deployed model."""
        if self.word_map is not None:
            word_embedding_variable(self.encoder).assign(self.word_map.product())

    @property
    def blocks(self) -> dict[str, list]:
        """Variables by block that is unfrozen together: "student", "dense" (absent without projection), "head"."""
        blocks = {"student": list(self.encoder.weights)}
        if self.projection is not None:
            blocks["dense"] = list(self.projection.weights)
        return blocks | {"head": list(self.head.weights)}

    @property
    def projection_activation(self) -> str | None:
        """Name in Keras of the projection's activation; None if it is linear, or there is no projection."""
        name = "linear" if self.projection is None else self.projection.activation.__name__
        return None if name == "linear" else name

    @property
    def parts(self) -> dict[str, list]:
        """Variables by layer, as in the weight file `xtremedistil.h5`."""
        layers = [self.encoder, self.projection, self.head]
        return {layer.name: list(layer.weights) for layer in layers if layer is not None}

    def matching_model(
        self,
        matches: Sequence[Match],
        teacher_width: Callable[[Match], int] | None = None,
        spread: float | None = PROJECTION_SPREAD,
    ) -> tuple[tf_keras.Model, list[tf_keras.layers.Layer]]:
        """Makes a model that returns the logits and the tensors of all matches.

        The encoder runs once for all of them. The top hidden state goes through the deployed projection, if that is
        linear; other hidden states get new projections if their loss compares element by element.

        Args:
            teacher_width: returns the width of a match's teacher tensor; by default that of its hidden states.
            spread: of new projections, see `matched_tensors`.

        Returns:
            A model from the three inputs to {"logits", `Match.outputs`: float32 [B, S, teacher's H] or [B, A, S, S]},
            and the layers with weights that only this model has.
        """
        inputs, top = model_inputs(), top_state(self.encoder)
        names = dict.fromkeys([*(name for match in matches for name in match.student_names), top])
        words = None if self.word_map is None else self.word_map(inputs["input_ids"])
        features = encoder_features(self.encoder, self.family, inputs, list(names), word_embeddings=words)
        tensors, layers = matched_tensors(
            matches,
            features,
            teacher_width=teacher_width or (lambda match: self.teacher_hidden_size),
            deployed=None if self.projection_activation else self.projection,
            top=top,
            dropout_rate=self.dropout_rate,
            spread=spread,
        )
        outputs = {"logits": self._logits(features[top], inputs)} | tensors
        return tf_keras.Model(inputs, outputs, name="student_matching"), layers

    def state_model(self) -> tf_keras.Model:
        """Returns the model, for inference, of the hidden states that projection and head read: {"state": float32
        [B, S, H] for tagging, [B, H] for classification}."""
        inputs = model_inputs()
        state = self._classified(run_encoder(self.encoder, self.family, inputs).hidden_states[-1], inputs)
        return tf_keras.Model(inputs, {STATE: in_float32(state, STATE)}, name="student_state")

    def head_model(self) -> tf_keras.Model:
        """Returns the model of projection and head: takes {"state"}, returns {"logits"}."""
        width = self.encoder.config.hidden_size
        state = tf_keras.Input((None, width) if self.by_position else (width,), name=STATE)
        return tf_keras.Model({STATE: state}, {"logits": self._on_state(state)}, name="student_head")

    def _logits(self, state, inputs: dict):
        return self._on_state(self._classified(state, inputs))

    def _classified(self, state, inputs: dict):
        if self.by_position:
            return state
        return Summary(self.family, name="summary")(state, inputs["attention_mask"])

    def _on_state(self, state):
        if self.projection is not None:
            state = self.projection(_dropout(self.dropout_rate, "projection_dropout")(state))
        return self.head(_dropout(self.dropout_rate, "head_dropout")(state))


def build_student(
    encoder,
    family: Family,
    *,
    by_position: bool,
    num_labels: int,
    teacher_hidden_size: int,
    dropout_rate: float | None = None,
    word_map: MappedEmbedding | None = None,
    projection_activation: str | None = None,
    problem_type: str = CLASSES,
) -> Student:
    """Adds a projection (unless student and teacher have equal widths) and a classifier to `encoder`.

    Args:
        by_position: whether each token has logits, not each row. problem_type: what they mean.
        dropout_rate: before both; by default the encoder's own rate.
        projection_activation: follows the projection, which is then added even if the widths are equal.
    """
    width = encoder.config.hidden_size
    rate = hidden_dropout(encoder, family) if dropout_rate is None else dropout_rate
    projection = None
    if width != teacher_hidden_size or projection_activation:
        projection = tf_keras.layers.Dense(teacher_hidden_size, projection_activation, name=PROJECTION_NAME)
    head = tf_keras.layers.Dense(num_labels, dtype="float32", name=HEAD_NAME)
    return Student(encoder, projection, head, family, by_position, teacher_hidden_size, rate, word_map, problem_type)


def _dropout(rate: float, name: str) -> tf_keras.layers.Layer:
    return tf_keras.layers.Dropout(rate, name=name)
