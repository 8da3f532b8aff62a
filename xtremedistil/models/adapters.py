"""Wraps models with their own head as teachers and students: Hugging Face models, or any Keras model by an adaptor."""

import os
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf
import tf_keras

from xtremedistil.arguments import require_function, require_kind, require_text, shown
from xtremedistil.errors import first_line, require_known
from xtremedistil.models.architectures.families import AUTO, find_family
from xtremedistil.models.checkpoints.tuned_head import TEXTS, WORDS, label_names
from xtremedistil.models.features.encoder_outputs import in_float32, model_inputs
from xtremedistil.models.features.extraction import encoder_features
from xtremedistil.models.projections import Match, matched_tensors
from xtremedistil.tasks.problem_types import CLASSES, PROBLEM_TYPES, SCORES, SPAN

SPANS = ("start_logits", "end_logits")  # of question answering
OF_SPANS = ("ForQuestionAnswering", "ForQuestionAnsweringSimple")  # endings of the classes that return these
ADVICE = "wrap it in AdaptedModel, with a function that returns its logits by name"


class NamedOutputs:
    """A model with named outputs; common code of the two kinds below.

    Fields:
        logit_names: names of its logits. by_position: whether these are [B, S, L], not [B, L].
        model: the model in inference mode: takes inputs, returns its logits by name.
        mask_model: takes inputs, returns {"logits_mask"} [B, S]; None: all tokens but padding count.
        problem_type: what its logits mean, see `problem_types`.
        labels: names of its logits; empty if they have none.
    """

    logit_names: tuple[str, ...]
    mask_model: tf_keras.Model | None = None
    labels: tuple[str, ...] = ()

    def __init__(self, problem_type: str | None = None):
        self.model = self.feature_model(self.logit_names)
        logits = self.model.output[self.logit_names[0]]
        self.by_position = logits.shape.rank == 3
        self.problem_type = problem_type or CLASSES
        if set(self.logit_names) == set(SPANS):
            self.problem_type = SPAN
        elif self.by_position:
            self.problem_type = CLASSES
        elif problem_type is None and logits.shape[-1] == 1:
            self.problem_type = SCORES

    def feature_model(self, names: Sequence[str]) -> tf_keras.Model:
        """Returns a model from the inputs to the outputs `names` in float32: logits, and tensors inside the model."""
        inputs = model_inputs()
        tensors = self._run(inputs, names)
        return tf_keras.Model(inputs, {name: in_float32(tensors[name], name) for name in names}, name="features")

    def matching_model(self, matches: Sequence[Match], teacher_width: Callable[[Match], int]):
        """Like `Student.matching_model`, without a deployed projection."""
        inputs = model_inputs()
        names = dict.fromkeys([*self.logit_names, *(name for match in matches for name in match.student_names)])
        tensors = self._run(inputs, list(names))
        outputs, layers = matched_tensors(matches, tensors, teacher_width=teacher_width)
        logits = {name: in_float32(tensors[name], name) for name in self.logit_names}
        return tf_keras.Model(inputs, logits | outputs, name="student_matching"), layers

    def _run(self, inputs: dict, names: Sequence[str]) -> dict:
        raise NotImplementedError


class TaskModel(NamedOutputs):
    """A Hugging Face TensorFlow model with a head: sequence or token classification, regression, question answering.

    Its outputs are logits and the features of `encoder_features`.

    Args:
        columns: numbers of the columns of its logits, in another order.

    Fields:
        weights: all its variables.

    Raises:
        ValueError: the model's family or head is not supported.
    """

    def __init__(self, pretrained, columns: Sequence[int] | None = None):
        _require_pretrained(pretrained)
        name = type(pretrained).__name__
        self.pretrained, self._columns = pretrained, columns
        self.logit_names = SPANS if name.endswith(OF_SPANS) else ("logits",)
        if name.endswith("ForMultipleChoice"):
            raise ValueError(f"{name} reads several rows at once: {ADVICE}.")
        try:
            self.family = find_family(AUTO, pretrained.config.model_type)
        except ValueError as error:
            raise ValueError(f"{error} Or {ADVICE}.") from error
        try:
            super().__init__(pretrained.config.problem_type)
        except KeyError as error:
            raise ValueError(
                f"{name} gives no {error.args[0]}: take a class with a head for sequences, tokens, question answering "
                f"or language modelling, as TFAutoModelForSequenceClassification; or {ADVICE}."
            ) from error

    @property
    def names_labels(self) -> bool:
        """Whether its configuration names the labels that its logits are for."""
        kind = type(self.pretrained).__name__.endswith((TEXTS, WORDS)) and self.problem_type != SCORES
        return kind and self.model.output["logits"].shape[-1] == self.pretrained.config.num_labels

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of its configuration, by column; empty if they are called LABEL_0, LABEL_1, ..."""
        names = label_names({"id2label": self.pretrained.config.id2label}) if self.names_labels else None
        order = range(len(names or ())) if self._columns is None else self._columns
        return tuple(names[number] for number in order) if names else ()

    def name_labels(self, names: Sequence[str]) -> None:
        """Writes names of its labels, by column, into its configuration."""
        self.pretrained.config.id2label = dict(enumerate(names))
        self.pretrained.config.label2id = {name: number for number, name in enumerate(names)}

    def with_columns(self, columns: Sequence[int]) -> "TaskModel":
        """Returns the same model with the columns of its logits in another order."""
        return TaskModel(self.pretrained, columns)

    @property
    def num_hidden_layers(self) -> int:
        return self.pretrained.config.num_hidden_layers

    @property
    def pad_id(self) -> int:
        return self.pretrained.config.pad_token_id or 0

    @property
    def weights(self) -> list:
        return list(self.pretrained.weights)

    @property
    def trainable_weights(self) -> list:
        """Variables of layers that are not frozen."""
        return list(self.pretrained.trainable_weights)

    def _run(self, inputs: dict, names: Sequence[str]) -> dict:
        found = encoder_features(self.pretrained, self.family, inputs, names)
        if self._columns is not None and "logits" in found:
            found["logits"] = tf.gather(found["logits"], list(self._columns), axis=-1)
        return found


class ModelKindError(ValueError):
    """A value is no model of the kind that is expected."""


def _require_pretrained(model) -> None:
    """Raises ModelKindError for anything but a TensorFlow model of transformers."""
    if isinstance(model, tf_keras.Model) and hasattr(getattr(model, "config", None), "model_type"):
        return
    what = "is a path, not a model: load it first" if isinstance(model, (str, os.PathLike)) else f"is {shown(model)}"
    if hasattr(model, "state_dict"):
        what = f"is a PyTorch model, {type(model).__name__}: load it by its TensorFlow class, TF{type(model).__name__}"
    raise ModelKindError(
        f"{what}; a TensorFlow model of transformers with a head, an AdaptedModel, a Teacher or a Student is expected. "
        f"For any other Keras model, {ADVICE}."
    )


LOGITS_MASK = "logits_mask"
ADAPTED = {"logits": None, LOGITS_MASK: 2, "hidden_states": 3, "attentions": 4}  # keys, and ranks of their tensors


class AdaptedModel(NamedOutputs):
    """Any Keras model of `input_ids`, `attention_mask` and `token_type_ids`, int32 [B, S], with a function that names
    its outputs.

    Args:
        adaptor: takes inputs and the model's outputs; returns a dict with "logits" ([B, L] or [B, S, L], or a dict of
            several) and optionally "hidden_states" (list of [B, S, H], 0 = embeddings), "attentions" (list of
            [B, A, S, S]) and "logits_mask" ([B, S], computed from the inputs only: above 0 at the tokens whose logits
            count in soft labels).
        problem_type: as in a configuration of Hugging Face; by default "regression" for one number per row, else
            "single_label_classification".

    Fields:
        output_names: names of all outputs of the adaptor except masks.

    Raises:
        ValueError: the adaptor returns an unknown key, or a tensor of a wrong rank.
    """

    pad_id = 0

    def __init__(
        self,
        model: tf_keras.Model,
        adaptor: Callable[[dict, object], dict],
        problem_type: str | None = None,
    ):
        require_kind("model", model, tf_keras.Model, "a Keras model (of tf_keras, Keras 2)")
        require_function("adaptor", adaptor)
        if problem_type is not None:
            require_known("problem type", problem_type, PROBLEM_TYPES)
        self._keras_model, self._adaptor = model, adaptor
        inputs = model_inputs()
        found = self._explained(inputs)
        self.logit_names = tuple(_logits(found))
        self.output_names = tuple(_named(found))
        super().__init__(problem_type)
        self.num_hidden_layers = max(len(found.get("hidden_states", [])) - 1, 0)
        if LOGITS_MASK in found:
            self.mask_model = _mask_model(inputs, found[LOGITS_MASK], self.by_position)

    @property
    def weights(self) -> list:
        return list(self._keras_model.weights)

    @property
    def trainable_weights(self) -> list:
        """Variables of layers that are not frozen."""
        return list(self._keras_model.trainable_weights)

    def _run(self, inputs: dict, names: Sequence[str]) -> dict:
        adapted = _named(self._explained(inputs))
        if unknown := [name for name in names if name not in adapted]:
            raise ValueError(f"The adaptor gives no {', '.join(unknown)}; it gives {', '.join(adapted)}.")
        return {name: adapted[name] for name in names}

    def _explained(self, inputs: dict) -> Mapping:
        found = self._adaptor(inputs, _outputs(self._keras_model, inputs))
        if not isinstance(found, Mapping):
            raise ValueError(f'The adaptor returns {shown(found)}; a mapping is expected, such as {{"logits": ...}}.')
        for key in found:
            require_known("key of an adaptor", key, ADAPTED)
        if "logits" not in found:
            raise ValueError("The adaptor gives no logits.")
        return found


def _outputs(model: tf_keras.Model, inputs: dict):
    """Returns the model's outputs; raises ValueError if it cannot be called with the inputs of a batch."""
    names = getattr(model, "input_names", None) or []
    if unknown := [name for name in names if name not in inputs]:
        raise ValueError(
            f"The model {model.name} has the inputs {', '.join(names)}; batches have {', '.join(inputs)}. Name the "
            f"tf_keras.Input {unknown[0]} like one of these, or wrap the model in one that has these inputs."
        )
    try:
        return model(inputs)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, tf.errors.OpError) as error:
        raise ValueError(
            f"The model {model.name} cannot be called with {', '.join(inputs)}, int32 [B, S] each "
            f"({first_line(error)}). Wrap it in a tf_keras.Model that takes these names."
        ) from error


def _named(found: Mapping) -> dict:
    """Returns logits, hidden states and attention maps by name."""
    lists = {key: _checked_list(key, found.get(key, [])) for key in ("hidden_states", "attentions")}
    return _logits(found) | lists["hidden_states"] | lists["attentions"]


def _logits(found: Mapping) -> dict:
    """Returns logits by name; all are per row, or all per token.

    Raises:
        ValueError: a tensor of logits has a wrong rank, or some are per row and some per token.
    """
    given = found["logits"]
    named = dict(given) if isinstance(given, Mapping) else {"logits": given}
    if not named:
        raise ValueError("The adaptor's logits are empty.")
    for name, tensor in named.items():
        require_text("The name of logits", name)
        _require_tensor(name, tensor)
        _check_logits(name, tensor.shape)
    if len({tensor.shape.rank for tensor in named.values()}) > 1:
        shapes = ", ".join(f"{name} {tensor.shape}" for name, tensor in named.items())
        raise ValueError(f"Logits of a model must all be per row, or all per token; the adaptor gives {shapes}.")
    return named


def _require_tensor(name: str, tensor) -> None:
    if not hasattr(getattr(tensor, "shape", None), "rank"):
        raise ValueError(f"{name} of the adaptor is {shown(tensor)}; a tensor of the model is expected.")


def _check_logits(name: str, shape) -> None:
    ranks = (3,) if name in SPANS else (2, 3)
    if shape.rank in ranks and shape[-1] is not None:
        return
    wanted = "[B, S, 1]" if name in SPANS else "[B, L] for rows or [B, S, L] for tokens"
    raise ValueError(
        f"{name} of the adaptor are {shape}; {wanted} are expected, the last axis of a fixed size. If they are single "
        "numbers, return tensor[..., None]."
    )


def _mask_model(inputs: dict, mask, by_position: bool) -> tf_keras.Model:
    """Makes the model of the mask; raises ValueError if the mask is not per token, or depends on weights."""
    _require_tensor(LOGITS_MASK, mask)
    if mask.shape.rank != ADAPTED[LOGITS_MASK] or not by_position:
        raise ValueError(
            f"{LOGITS_MASK} has shape {mask.shape}; [B, S] is expected, for logits [B, S, L]. If the logits are "
            "per row, leave it away."
        )
    model = tf_keras.Model(inputs, {LOGITS_MASK: mask}, name=LOGITS_MASK)
    if model.weights:
        raise ValueError(
            f"{LOGITS_MASK} depends on the model's weights, and would change during training. Compute it from the "
            "inputs only."
        )
    return model


def _checked_list(key: str, tensors) -> dict:
    if not isinstance(tensors, (list, tuple)):
        raise ValueError(f"{key} is one tensor; a list is expected, with one per layer. Put it into [ ].")
    for number, tensor in enumerate(tensors):
        _require_tensor(f"{key}[{number}]", tensor)
        if tensor.shape.rank != ADAPTED[key]:
            raise ValueError(f"{key}[{number}] has shape {tensor.shape}; {ADAPTED[key]} axes are expected.")
    return {f"{key}_{number}": tensor for number, tensor in enumerate(tensors)}
