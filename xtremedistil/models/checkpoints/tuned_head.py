"""The classifier that a checkpoint was tuned with: used where its labels are the task's by name, else said to be left.

Its names are those of PyTorch's classes ...ForSequenceClassification and ...ForTokenClassification.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import Family
from xtremedistil.models.architectures.text_heads import EXPECTED, TEXT_HEADS, WORD_HEAD, TextHead
from xtremedistil.models.checkpoints.pretrained import read_checkpoint, read_config
from xtremedistil.models.checkpoints.weight_files import State, in_pytorch
from xtremedistil.tasks.problem_types import CLASSES

TEXTS, WORDS = "ForSequenceClassification", "ForTokenClassification"
OTHERS = ("ForQuestionAnswering", "ForMultipleChoice", "ForNextSentencePrediction")
READS = {TEXTS: "texts", WORDS: "words"}
SHOWN = 20  # labels that a message lists


@dataclass(frozen=True)
class LinearLayer:
    """kernel: float32 [in, out]. bias: float32 [out]."""

    kernel: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class TunedHead:
    """A classifier whose labels are the task's: outer(activation(inner(state))), or outer(state).

    Fields:
        outer: its columns are in the order of the task's labels. moved: whether the checkpoint has another order.
    """

    outer: LinearLayer
    inner: LinearLayer | None
    activation: str | None
    moved: bool


@dataclass(frozen=True)
class HeadOfCheckpoint:
    """What a checkpoint has in the way of a classifier.

    Fields:
        name: the checkpoint and its class. head: None if it cannot be used. reason: why not; empty if there is none.
    """

    name: str
    head: TunedHead | None = None
    reason: str = ""

    def fate(self, tuning: str) -> str:
        """Returns a line on what becomes of the classifier; empty if there is none. `tuning`: what happens to it."""
        if self.head:
            order = "; its columns are put into the order of the task's labels" if self.head.moved else ""
            return f"the classifier of {self.name} has the task's labels and is used as it is{order}; {tuning}"
        return f"the classifier of {self.name} is not used, a new one is trained: {self.reason}" if self.reason else ""


def find_tuned_head(
    checkpoint: str, family: Family, labels: Sequence[str], *, by_position: bool, problem_type: str
) -> HeadOfCheckpoint:
    """Looks for the classifier of a checkpoint.

    Args:
        labels: of the task. by_position: whether words are labelled, not texts. problem_type: what logits say.

    Raises:
        InputError: the checkpoint has no readable files, or a weight of another shape than `config.json` says.
    """
    config = read_config(checkpoint)
    ending = _ending(config)
    if ending is None and not isinstance(config.get("id2label"), Mapping):
        return HeadOfCheckpoint(checkpoint)
    name = f"{checkpoint} ({_class_name(config)})" if ending else checkpoint
    wanted = WORDS if by_position else TEXTS
    if ending not in (None, wanted):
        return HeadOfCheckpoint(name, reason=f"it is for {READS.get(ending, 'another kind of task')}")
    found = label_names(config) or _like_unnamed(labels)
    if problem := _label_problem(found, labels) or _kind_problem(config, family, by_position, problem_type):
        return HeadOfCheckpoint(name, reason=problem)
    layout = WORD_HEAD if by_position else TEXT_HEADS[family.model_type]
    source, state = read_checkpoint(checkpoint)
    weights = in_pytorch(state)
    if missing := [one for one in _needed(layout) if one not in weights]:
        return HeadOfCheckpoint(name, reason=f"{source} has no {' and '.join(missing)}")
    order = [found.index(label) for label in labels]
    return HeadOfCheckpoint(name, _head(layout, weights, order, source))


def label_names(config: Mapping) -> list[str] | None:
    """Returns the labels of a `config.json` by column, None if they have no names (LABEL_0, LABEL_1, ...)."""
    saved = config.get("id2label")
    if not isinstance(saved, Mapping):
        return None
    names = [saved.get(number, saved.get(str(number))) for number in range(len(saved))]
    if not all(isinstance(name, str) for name in names):
        return None
    return None if names == unnamed(len(names)) else names


def unnamed(count: int) -> list[str]:
    """Returns the names that transformers gives to labels without names."""
    return [f"LABEL_{number}" for number in range(count)]


def _like_unnamed(labels: Sequence[str]) -> list[str] | None:
    """Returns such names where a task's labels are really called so."""
    names = unnamed(len(labels))
    return names if sorted(names) == sorted(labels) else None


def listed(labels: Sequence[str]) -> str:
    """Returns the labels as text, the first ones of a long list."""
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return ", ".join(map(str, labels[:SHOWN])) + more


def _ending(config: Mapping) -> str | None:
    """Returns the kind of head that `architectures` names; None if it names none."""
    return next((ending for ending in (TEXTS, WORDS, *OTHERS) if _class_name(config).endswith(ending)), None)


def _class_name(config: Mapping) -> str:
    named = config.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else ""


def _label_problem(found: Sequence[str] | None, labels: Sequence[str]) -> str:
    if found is None:
        return (
            f"its config.json gives its labels no names (or LABEL_0, LABEL_1, ...), the task's {len(labels)} are "
            f"{listed(labels)}. If it was tuned on this task, write their names into id2label, by column"
        )
    if sorted(found) == sorted(labels):
        return ""
    return f"its {len(found)} labels are {listed(found)}; the task's {len(labels)} are {listed(labels)}"


def _kind_problem(config: Mapping, family: Family, by_position: bool, problem_type: str) -> str:
    if not by_position and (config.get("problem_type") or CLASSES) != problem_type:
        return (
            f"its config.json says problem_type {config.get('problem_type')}, the task's is {problem_type}. If the "
            "classifier was tuned for that, write it there"
        )
    expected = {} if by_position else EXPECTED.get(family.model_type, {})
    other = [name for name, value in expected.items() if config.get(name, value) != value]
    return f"its config.json says {other[0]} {config[other[0]]}, {expected[other[0]]} is known here" if other else ""


def _needed(layout: TextHead) -> list[str]:
    inner = [f"{layout.inner}.weight", f"{layout.inner}.bias"] if layout.inner else []
    return [f"{layout.outer}.weight", *inner]


def _head(layout: TextHead, weights: State, order: list[int], source: str) -> TunedHead:
    outer = _linear(layout.outer, weights, source)
    inner = _linear(layout.inner, weights, source) if layout.inner else None
    if outer.kernel.shape[1] != len(order):
        raise InputError(
            f"{source}: {layout.outer}.weight has {outer.kernel.shape[1]} rows, but config.json names {len(order)} "
            "labels. The two files belong to different models."
        )
    outer = LinearLayer(outer.kernel[:, order], outer.bias[order])
    return TunedHead(outer, inner, layout.activation, order != list(range(len(order))))


def _linear(name: str, weights: State, source: str) -> LinearLayer:
    kernel = np.asarray(weights[f"{name}.weight"], np.float32)
    bias = np.asarray(weights.get(f"{name}.bias", np.zeros(len(kernel))), np.float32)
    if kernel.ndim != 2 or bias.shape != kernel.shape[:1]:
        raise InputError(
            f"{source}: {name} has a weight {list(kernel.shape)} and a bias {list(bias.shape)}; [out, in] and [out] "
            "are expected. Copy the file again."
        )
    return LinearLayer(np.ascontiguousarray(kernel.T), bias)
