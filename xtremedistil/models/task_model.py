"""Models that come with their own head, as teachers and students: Hugging Face's, or any with an adaptor."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import tf_keras

from xtremedistil.errors import require_known
from xtremedistil.models.encoder import in_float32, model_inputs
from xtremedistil.models.families import AUTO, find_family
from xtremedistil.models.features import encoder_features
from xtremedistil.models.matching import matched_tensors

if TYPE_CHECKING:
    from xtremedistil.distillation.match import Match

SPANS = ("start_logits", "end_logits")  # of question answering


class NamedOutputs:
    """What both kinds of models below do with their outputs by name.

    Fields:
        logit_names: of its logits. by_position: whether these are [B, S, L], not [B, L].
        model: the model in inference mode: inputs in, its logits by name out.
    """

    logit_names: tuple[str, ...]

    def __init__(self):
        self.model = self.feature_model(self.logit_names)
        self.by_position = self.model.output[self.logit_names[0]].shape.rank == 3

    def feature_model(self, names: Sequence[str]) -> tf_keras.Model:
        """Inputs in, the outputs `names` in float32 out: logits, and tensors inside the model."""
        inputs = model_inputs()
        tensors = self._run(inputs, names)
        return tf_keras.Model(inputs, {name: in_float32(tensors[name], name) for name in names}, name="features")

    def matching_model(self, matches: Sequence["Match"], teacher_width: Callable[["Match"], int]):
        """As `Student.matching_model`; no projection is deployed here."""
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

    Its outputs are logits and what `encoder_features` knows.

    Fields:
        weights: all its variables.
    """

    def __init__(self, pretrained):
        self.pretrained = pretrained
        self.family = find_family(AUTO, pretrained.config.model_type)
        self.logit_names = SPANS if type(pretrained).__name__.endswith("ForQuestionAnswering") else ("logits",)
        super().__init__()

    @property
    def num_hidden_layers(self) -> int:
        return self.pretrained.config.num_hidden_layers

    @property
    def pad_id(self) -> int:
        return self.pretrained.config.pad_token_id or 0

    @property
    def weights(self) -> list:
        return list(self.pretrained.weights)

    def _run(self, inputs: dict, names: Sequence[str]) -> dict:
        return encoder_features(self.pretrained, self.family, inputs, names)


ADAPTED = {"logits": None, "hidden_states": 3, "attentions": 4}  # keys, and ranks of the tensors in their lists


class AdaptedModel(NamedOutputs):
    """Any Keras model of `input_ids`, `attention_mask` and `token_type_ids`, int32 [B, S], whose outputs a function
    explains.

    Args:
        adaptor: inputs and the model's outputs in; a dict with "logits" ([B, L] or [B, S, L], or a dict of several)
            and, by choice, "hidden_states" (list of [B, S, H], 0 = embeddings) and "attentions" (list of
            [B, A, S, S]) out.

    Raises:
        ValueError: the function gives another key, or a tensor of another rank.
    """

    pad_id = 0

    def __init__(self, model: tf_keras.Model, adaptor: Callable[[dict, object], dict]):
        self._keras_model, self._adaptor = model, adaptor
        adapted = self._adapted(model_inputs())
        self.logit_names = tuple(name for name in adapted if not name.startswith(("hidden_states_", "attentions_")))
        super().__init__()
        self.num_hidden_layers = max(sum(name.startswith("hidden_states_") for name in adapted) - 1, 0)

    @property
    def weights(self) -> list:
        return list(self._keras_model.weights)

    def _run(self, inputs: dict, names: Sequence[str]) -> dict:
        adapted = self._adapted(inputs)
        if unknown := [name for name in names if name not in adapted]:
            raise ValueError(f"The adaptor gives no {', '.join(unknown)}; it gives {', '.join(adapted)}.")
        return {name: adapted[name] for name in names}

    def _adapted(self, inputs: dict) -> dict:
        found = self._adaptor(inputs, self._keras_model(inputs))
        for key in found:
            require_known("key of an adaptor", key, ADAPTED)
        if "logits" not in found:
            raise ValueError("The adaptor gives no logits.")
        logits = found["logits"] if isinstance(found["logits"], dict) else {"logits": found["logits"]}
        named = dict(logits)
        for key in ("hidden_states", "attentions"):
            named |= _checked_list(key, found.get(key, []))
        return named


def _checked_list(key: str, tensors) -> dict:
    if not isinstance(tensors, (list, tuple)):
        raise ValueError(f"{key} is one tensor; a list is expected, of one tensor for each layer. Put it into [ ].")
    for number, tensor in enumerate(tensors):
        if tensor.shape.rank != ADAPTED[key]:
            raise ValueError(f"{key}[{number}] has shape {tensor.shape}; {ADAPTED[key]} axes are expected.")
    return {f"{key}_{number}": tensor for number, tensor in enumerate(tensors)}
