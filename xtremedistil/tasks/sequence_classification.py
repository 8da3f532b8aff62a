"""Classifying texts and pairs of texts: read, encode, decode, score."""

import dataclasses
import difflib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil import metrics
from xtremedistil.arguments import require_switch
from xtremedistil.data.features import Features
from xtremedistil.data.text_files import find_file, read_lines, read_table, shorten
from xtremedistil.errors import InputError
from xtremedistil.tasks.kind_settings import KindSettings, require_labels
from xtremedistil.tasks.label_checks import check_class_rows, counts_line
from xtremedistil.tasks.problem_types import CLASSES
from xtremedistil.tasks.token_classification import LABELS_FILE, named_probabilities, read_labels, softmax
from xtremedistil.tokenization.tokenizer import Tokenizer

COLUMN_HINTS = {  # by whether rows are pairs, and by the columns of a row
    False: {3: "\nIf these are two texts and a label, give `do_pairwise`."},
    True: {2: "\nIf these are one text and a label, leave `do_pairwise` away."},
}
INTEGER = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True)
class LabelledText:
    """A text, or a pair of texts; `label` is None if unlabelled, a tuple where a text may have several labels."""

    text: str
    text_pair: str | None = None
    label: str | tuple[str, ...] | None = None


def columns_of(pairs: bool, labelled: bool = True) -> tuple[str, ...]:
    texts = ("text1", "text2") if pairs else ("text",)
    return (*texts, "label") if labelled else texts


def class_labels(
    folder: str | os.PathLike,
    pairs: bool,
    split: Callable[[str], Iterable[str]] = lambda field: [field.strip()],
    *,
    several: bool = False,
) -> list[str]:
    """The classes of a task: those in `labels.tsv` if there is one, else the distinct labels of `train.tsv`, sorted
    (by number if all are integers).

    Args:
        split: from the last column of a row to its labels. several: a row may have several of them.

    Raises:
        InputError: a file cannot be read, or its last column holds no classes.
    """
    if any(os.path.exists(os.path.join(folder, LABELS_FILE + ending)) for ending in ("", ".gz")):
        return read_labels(folder)
    path = os.path.join(folder, "train.tsv")
    rows = list(read_table(path, columns_of(pairs), hints=COLUMN_HINTS[pairs]))
    check_class_rows(find_file(path), rows, several=several)
    return sort_labels({label for _, values in rows for label in split(values[-1])})


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Distinct labels: integers by value and in their shortest writing, if all are integers; else by characters."""
    labels = set(labels)
    if all(INTEGER.fullmatch(label) for label in labels):
        return [str(number) for number in sorted({int(label) for label in labels})]
    return sorted(labels)


class SequenceClassification:
    """One label per text, or per pair of texts.

    Fields:
        labels: class names in the order of the model's outputs. pairs: rows have two texts.
    """

    kind = "sequence_classification"
    by_position = False
    problem_type = CLASSES
    soft_label_loss = "logits_mse"
    flags = {"do_NER": False, "task_kind": None}
    pseudo_labels: tuple[str, ...] = ()
    required_files: tuple[str, ...] = ()
    purpose = "classifies texts"
    huggingface_ending = "ForSequenceClassification"
    pipeline = "text-classification"
    pipeline_options = ""
    pipeline_remark = "Longer texts are cut with `truncation=True`, and only then."

    def __init__(self, labels: Sequence[str], pairs: bool = False):
        require_labels(labels)
        require_switch("pairs", pairs)
        self.labels = [str(label) for label in labels]
        self.pairs = pairs
        self._ids = {label: number for number, label in enumerate(self.labels)}

    @classmethod
    def open(cls, folder: str | os.PathLike, settings: KindSettings) -> "SequenceClassification":
        """The task of a folder; see `class_labels`."""
        return cls(class_labels(folder, settings.do_pairwise), settings.do_pairwise)

    @classmethod
    def from_labels(cls, labels: Sequence[str], settings: KindSettings) -> "SequenceClassification":
        """The task of a saved `label_list`."""
        return cls(labels, settings.do_pairwise)

    @property
    def all_labels(self) -> list[str]:
        """One per output of the model."""
        return list(self.labels)

    @property
    def saved_keys(self) -> dict:
        """What `xtremedistil-config.json` says of the kind."""
        return {"do_NER": False, "do_pairwise": self.pairs}

    @property
    def head_widths(self) -> set[int]:
        """Outputs that a teacher of the task may have."""
        return {len(self.labels)}

    @property
    def pipeline_input(self) -> str:
        """What a call of Hugging Face's pipeline is given, as Python."""
        texts = '{"text": "the first text", "text_pair": "the second"}' if self.pairs else '"some text"'
        return f"{texts}, truncation=True"

    def read(self, path: str | os.PathLike, labelled: bool = True) -> list[LabelledText]:
        """Rows of a file: text<TAB>label, or text1<TAB>text2<TAB>label.

        Args:
            labelled: False reads the texts only, so that a labelled file can serve as unlabelled text.

        Raises:
            InputError: file, line and fault; among them a label that the task does not have.
        """
        if not labelled:
            return list(self.iter_unlabelled(path))
        rows = read_table(path, columns_of(self.pairs, labelled), hints=COLUMN_HINTS[self.pairs])
        return [self._row(path, number, values, labelled) for number, values in rows]

    def iter_unlabelled(self, path: str | os.PathLike) -> Iterator[LabelledText]:
        """The same as `read(path, labelled=False)`, one after the other."""
        rows = read_table(path, columns_of(self.pairs, labelled=False), at_least=True)
        return (self._row(path, number, values, labelled=False) for number, values in rows)

    def read_prediction_lines(self, path: str | os.PathLike) -> Iterator[LabelledText]:
        """One row for each line, empty ones too.

        Raises:
            InputError: a line of a pair task with one column only.
        """
        for number, line in read_lines(path):
            try:
                yield self.prediction_example(line)
            except InputError as error:
                raise InputError(f"{find_file(path)}, line {number}: {error}") from error

    def prediction_example(self, line: str) -> LabelledText:
        """The row of one line of input; columns after the texts are ignored."""
        if not self.pairs:
            return LabelledText(line.partition("\t")[0])
        values = line.split("\t") if line else ["", ""]
        if len(values) < 2:
            raise InputError(f"1 column, expected at least 2 (text1<TAB>text2).\n  line: {shorten(line)}")
        return LabelledText(values[0], values[1])

    def example(self, text: str | Sequence[str]) -> LabelledText:
        """A row from a text, or from two for a pair task.

        Raises:
            InputError: one text for a pair task, or two for another.
        """
        texts = (text,) if isinstance(text, str) else tuple(text)
        if len(texts) != 1 + self.pairs:
            expected = "a pair of texts" if self.pairs else "one text"
            raise InputError(f"{len(texts)} text(s) given where the task takes {expected}: {shorten(repr(text))}")
        return LabelledText(*texts)

    def text_of(self, example: LabelledText) -> str:
        return f"{example.text}\t{example.text_pair}" if self.pairs else example.text

    def texts_of(self, example: LabelledText) -> list[list[str]]:
        """The words of each text, as white space separates them."""
        return [text.split() for text in ((example.text, example.text_pair or "") if self.pairs else (example.text,))]

    def from_texts(self, sides: Sequence[Sequence[str]]) -> LabelledText:
        """The unlabelled row of such words."""
        return LabelledText(*map(" ".join, sides))

    def labels_to_sample(self, example: LabelledText) -> tuple[str, ...]:
        """Labels that a sample of rows has to hold because of this row."""
        return (example.label,)

    def _row(self, path: str | os.PathLike, number: int, values: list[str], labelled: bool) -> LabelledText:
        texts = values[: 1 + self.pairs]
        label = self._label(find_file(path), number, values[-1]) if labelled else None
        return LabelledText(texts[0], texts[1] if self.pairs else None, label)

    def _label(self, path: str, number: int, text: str) -> str:
        label = text.strip()
        if label in self._ids:
            return label
        if INTEGER.fullmatch(label) and str(int(label)) in self._ids:
            return str(int(label))
        if " " in label and set(label.split(" ")) <= set(self.labels):
            raise InputError(
                f"{path}, line {number}: '{shorten(label)}' are several labels of {LABELS_FILE}, one for each word. To "
                "tag words, give `do_NER`."
            )
        near = difflib.get_close_matches(label, self.labels, n=1, cutoff=0.0)
        raise InputError(
            f"{path}, line {number}: the label '{shorten(label)}' is not among the task's. Did you mean '{near[0]}'?\n"
            f"  labels: {shorten(', '.join(self.labels))}\n"
            f"Labels are those of train.tsv, or of {LABELS_FILE} if there is one. Correct the label or add it there."
        )

    def encode(
        self, examples: Sequence[LabelledText], tokenizer: Tokenizer, seq_len: int, original_rows: bool = False
    ) -> Features:
        """One row per example, at most `seq_len` long with its special tokens; what does not fit is cut off.

        Args:
            original_rows: rows are padded to the longest of them, as the original did.

        Raises:
            InputError: pairs with a tokenizer that has no separator, or no room for text.
        """
        pairs = [example.text_pair or "" for example in examples] if self.pairs else None
        encoded = tokenizer.encode_texts([example.text for example in examples], pairs, seq_len)
        features = Features.from_rows([ids for ids, _ in encoded], token_type_ids=[types for _, types in encoded])
        features = dataclasses.replace(features, labels=self._gold_labels(examples))
        if not original_rows or not examples:
            return features
        return features.padded_to(int(features.lengths.max()), tokenizer.pad_id)

    def _gold_labels(self, examples: Sequence[LabelledText]) -> np.ndarray | None:
        """int32 [N]; None if a row has none."""
        labels = [self._ids.get(example.label) for example in examples]
        return None if not labels or None in labels else np.array(labels, np.int32)

    def decode(
        self, features: Features, logits: Sequence[np.ndarray], examples: Sequence[LabelledText]
    ) -> list[np.ndarray]:
        """Probabilities of the classes: float32 [L] per example, from float [L] per row."""
        return list(softmax(np.stack(logits))) if len(logits) else []

    def predict_labels(self, probabilities: Sequence[np.ndarray]) -> list[str]:
        """The most probable class of each example."""
        return [self.labels[int(values.argmax())] for values in probabilities]

    def chosen(self, logits: np.ndarray) -> np.ndarray:
        """Which class each row gets: int [...] from float [..., L]."""
        return logits.argmax(axis=-1)

    def answer_text(self, answer: str) -> str:
        """The label of a text as `predictions.txt` has it."""
        return str(answer)

    def answer_json(self, answer: str, probabilities: np.ndarray) -> dict:
        """The label of a text, and the probability of each, float [L]."""
        return {"label": answer, "probabilities": named_probabilities(self.labels, probabilities)}

    @property
    def metric_note(self) -> str:
        """What the main metric counts."""
        return "accuracy: share of texts with the right label"

    def counts(self, name: str, examples: Sequence[LabelledText]) -> str:
        """One line with the number of examples, and how often each label occurs."""
        return counts_line(name, len(examples), self._label_counts(examples), self.labels)

    def _label_counts(self, examples: Sequence[LabelledText]) -> Counter:
        return Counter(label for example in examples for label in self.labels_to_sample(example))

    def commonest_answers(self, train: Sequence[LabelledText], test: Sequence[LabelledText]) -> list:
        """Answers for `test` that all are the commonest label of `train`."""
        return [self._label_counts(train).most_common(1)[0][0]] * len(test)

    def cut_rows(
        self, examples: Sequence[LabelledText], features: Features, tokenizer: Tokenizer, seq_len: int
    ) -> int:
        """How many of the encoded examples did not fit into a row; only full rows are encoded again."""
        full = [examples[row] for row in np.flatnonzero(features.lengths >= seq_len)]
        return int((self.encode(full, tokenizer, seq_len + 1).lengths > seq_len).sum()) if full else 0

    def score(self, examples: Sequence[LabelledText], predictions: Sequence[str]) -> dict:
        """Metrics of predicted labels; see `evaluation.classification_scores`."""
        gold = [example.label for example in examples]
        return metrics.classification_scores(gold, predictions, labels=self.labels)
