"""Classifying texts and pairs of texts of which each may have several labels, or none: read, encode, decode, score."""

import os
from collections.abc import Sequence

import numpy as np

from xtremedistil.arguments import require_text
from xtremedistil.data.features import Features
from xtremedistil.errors import InputError
from xtremedistil.tasks.kind_settings import COMMA, KindSettings
from xtremedistil.tasks.problem_types import SEVERAL_LABELS, THRESHOLD
from xtremedistil.tasks.sequence_classification import LabelledText, SequenceClassification, class_labels
from xtremedistil.tasks.token_classification import named_probabilities


def split_labels(field: str, separator: str) -> list[str]:
    """The labels in a field of a file, without the blanks around each; an empty field has none."""
    return [label.strip() for label in field.split(separator)] if field.strip() else []


class MultiLabelClassification(SequenceClassification):
    """Any number of labels per text, or per pair of texts.

    Rows are read as those of `SequenceClassification`; the last column holds all labels of a row, and
    `LabelledText.label` is a tuple.

    Fields:
        labels: in the order of the model's outputs. pairs: rows have two texts.
        label_separator: between the labels of a row, in files and in predictions.

    Raises:
        InputError: a label holds the separator.
    """

    kind = "multi_label_classification"
    problem_type = SEVERAL_LABELS
    soft_label_loss = "soft_label_bce"
    flags = {"do_NER": False, "task_kind": kind}
    purpose = "gives texts any number of labels"
    pipeline_options = ", top_k=None"
    pipeline_remark = (
        f"A label holds where its score is at least {THRESHOLD}; a text may have several, or none. "
        + SequenceClassification.pipeline_remark
    )

    def __init__(self, labels: Sequence[str], pairs: bool = False, label_separator: str = COMMA):
        super().__init__(labels, pairs)
        require_text("label_separator", label_separator)
        self.label_separator = label_separator
        for label in self.labels:
            if label_separator in label:
                raise InputError(
                    f"The label '{label}' holds the separator of labels, '{label_separator}', and would be read as "
                    "several. Give another `label_separator`."
                )

    @classmethod
    def open(cls, folder: str | os.PathLike, settings: KindSettings) -> "MultiLabelClassification":
        """The task of a folder; see `class_labels`.

        Raises:
            InputError: there are no labels at all.
        """
        separator = settings.label_separator
        found = class_labels(folder, settings.do_pairwise, lambda field: split_labels(field, separator), several=True)
        labels = [label for label in found if label]  # an empty one is refused where its line is known
        if not labels:
            raise InputError(f"No row of train.tsv in {folder} has a label in its last column.")
        return cls(labels, settings.do_pairwise, separator)

    @classmethod
    def from_labels(cls, labels: Sequence[str], settings: KindSettings) -> "MultiLabelClassification":
        """The task of a saved `label_list`."""
        return cls(labels, settings.do_pairwise, settings.label_separator)

    @property
    def saved_keys(self) -> dict:
        """What `xtremedistil-config.json` says of the kind."""
        return {**self.flags, "do_pairwise": self.pairs, "label_separator": self.label_separator}

    def labels_to_sample(self, example: LabelledText) -> tuple[str, ...]:
        """Labels that a sample of rows has to hold because of this row."""
        return example.label

    def _label(self, path: str, number: int, text: str) -> tuple[str, ...]:
        """The labels of a row; raises InputError for an unknown one, an empty one, and one that is there twice."""
        fields = split_labels(text, self.label_separator)
        if "" in fields:
            raise InputError(
                f"{path}, line {number}: an empty label in '{text}'. Put one '{self.label_separator}' between two "
                "labels, and none around them; a row without labels has an empty last column."
            )
        labels = [SequenceClassification._label(self, path, number, field) for field in fields]
        if twice := [label for label in labels if labels.count(label) > 1]:
            raise InputError(f"{path}, line {number}: the label '{twice[0]}' is there twice. Remove one of the two.")
        return tuple(labels)

    def _gold_labels(self, examples: Sequence[LabelledText]) -> np.ndarray | None:
        """1 for each label of a row, float32 [N, L]; None if a row is unlabelled."""
        if not examples or any(example.label is None for example in examples):
            return None
        return self._as_array([example.label for example in examples]).astype(np.float32)

    def _as_array(self, rows: Sequence[Sequence[str]]) -> np.ndarray:
        """Which labels each row has, bool [N, L]."""
        array = np.zeros((len(rows), len(self.labels)), bool)
        for number, labels in enumerate(rows):
            array[number, [self._ids[label] for label in labels]] = True
        return array

    def decode(
        self, features: Features, logits: Sequence[np.ndarray], examples: Sequence[LabelledText]
    ) -> list[np.ndarray]:
        """The probability of each label by itself: float32 [L] per example, from float [L] per row."""
        return [sigmoid(row) for row in logits]

    def predict_labels(self, probabilities: Sequence[np.ndarray]) -> list[list[str]]:
        """The labels of each example whose probability reaches the threshold; there may be none."""
        return [[self.labels[number] for number in np.flatnonzero(row >= THRESHOLD)] for row in probabilities]

    def chosen(self, logits: np.ndarray) -> np.ndarray:
        """Which labels hold: bool [..., L] from float [..., L]."""
        return sigmoid(logits) >= THRESHOLD

    def answer_text(self, answer: Sequence[str]) -> str:
        """The labels of a text as `predictions.txt` has them."""
        return self.label_separator.join(answer)

    def answer_json(self, answer: Sequence[str], probabilities: np.ndarray) -> dict:
        """The labels of a text, and the probability of each, float [L]."""
        return {"labels": answer, "probabilities": named_probabilities(self.labels, probabilities)}

    def commonest_answers(self, train: Sequence[LabelledText], test: Sequence[LabelledText]) -> list:
        """Answers for `test` that all are the commonest label of `train` alone."""
        return [[label] for label in super().commonest_answers(train, test)]

    @property
    def metric_note(self) -> str:
        """What the main metric counts."""
        return "f1_micro: F1 of all labels of all texts together"

    def score(self, examples: Sequence[LabelledText], predictions: Sequence[Sequence[str]]) -> dict:
        """F1, 0 to 1: "f1_micro" (primary), over all decisions together; "f1_macro", the mean over labels that occur in
        gold or predictions. What has nothing to count is 0.0."""
        gold, found = self._as_array([example.label for example in examples]), self._as_array(predictions)
        right, named = (gold & found).sum(axis=0), gold.sum(axis=0) + found.sum(axis=0)
        by_label = 2 * right[named > 0] / named[named > 0]
        micro, macro = 2 * right.sum() / max(named.sum(), 1), by_label.sum() / max(len(by_label), 1)
        return {"f1_micro": float(micro), "f1_macro": float(macro), "primary": "f1_micro"}


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """float32."""
    return 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float32)))
