"""Tagging words: read, encode (windows), decode, score."""

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil import metrics
from xtremedistil.arguments import require_texts
from xtremedistil.data.features import NO_WORD, Features
from xtremedistil.data.text_files import find_file, read_lines, read_table, shorten
from xtremedistil.errors import InputError
from xtremedistil.tag_schemes import find_scheme, is_chunk_tag, require_scheme
from xtremedistil.tasks.kind_settings import KindSettings, require_labels
from xtremedistil.tasks.label_checks import check_sentence_rows, counts_line
from xtremedistil.tasks.problem_types import CLASSES
from xtremedistil.tasks.token_windows import TokenStream
from xtremedistil.tokenization.tokenizer import Tokenizer

LABELS_FILE = "labels.tsv"
COLUMNS = ("words", "tags")
CONTINUATION = "X"
OUTSIDE = "O"
ORIGINAL_SPECIAL_PIECES = 2  # what the original took off seq_len, whatever the tokenizer
SPECIAL_TOKEN = re.compile(r"[\[<].*[\]>]")

CARD_REMARK = """\
The student has learnt on words that were split before: put single spaces between words, and around punctuation as the
task's files have them. Only the first token of a word carries its label, so keep `aggregation_strategy="first"`. Longer
texts are cut, unless the pipeline is given a `stride`."""


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence as words; `tags` has one per word, as they stand in the file, or is None if unlabelled."""

    words: list[str]
    tags: list[str] | None = None


def read_labels(folder: str | os.PathLike) -> list[str]:
    """The labels in `labels.tsv`: one a line, in order; empty lines are skipped.

    Raises:
        InputError: a label twice, or none at all. MissingFileError: no such file.
    """
    path = find_file(os.path.join(folder, LABELS_FILE))
    seen: dict[str, int] = {}
    for number, line in read_lines(path):
        label = line.strip()
        if label in seen:
            raise InputError(f"{path}, line {number}: the label '{label}' stands in line {seen[label]} already.")
        if label:
            seen[label] = number
    if not seen:
        raise InputError(f"{path} has no labels. Expected one tag a line, for example O, B-PER, I-PER.")
    return list(seen)


def pseudo_labels_of(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The four labels that the original appended: pad, `X` for continuation tokens, end, start."""
    pad, end, start = tokenizer.special_tokens()
    return pad, CONTINUATION, end, start


class TokenClassification:
    """One label per word. Only the first token of a word answers for it.

    Fields:
        labels: the real labels, in the order of the model's outputs.
        pseudo_labels: the four that models of the original release (and `legacy`) have behind them, or none.
    """

    kind = "token_classification"
    by_position = True
    problem_type = CLASSES
    soft_label_loss = "logits_mse"
    flags = {"do_NER": True, "task_kind": None}
    pairs = False
    required_files = (LABELS_FILE,)
    purpose = "tags words"
    huggingface_ending = "ForTokenClassification"
    pipeline = "token-classification"
    pipeline_options = ', aggregation_strategy="first"'
    pipeline_input = '"John Smith lives in New York ."'
    pipeline_remark = CARD_REMARK

    def __init__(self, labels: Sequence[str], pseudo_labels: Sequence[str] = ()):
        require_labels(labels)
        require_texts("pseudo_labels", pseudo_labels)
        self.labels = list(labels)
        self.pseudo_labels = tuple(pseudo_labels)
        self._ids = {label: number for number, label in enumerate(self.labels)}

    @classmethod
    def open(cls, folder: str | os.PathLike, settings: KindSettings) -> "TokenClassification":
        """The task of a folder; its labels are those of `labels.tsv`.

        Raises:
            InputError: some labels mark chunks and others do not.
        """
        labels = read_labels(folder)
        if not settings.pseudo_labels:  # the original scores any tags as chunks
            require_scheme(labels, find_file(os.path.join(folder, LABELS_FILE)))
        return cls(labels, settings.pseudo_labels or ())

    @classmethod
    def from_labels(cls, labels: Sequence[str | None], settings: KindSettings) -> "TokenClassification":
        """The task of a saved `label_list`, pseudo-labels behind the real ones; settings that do not say how many there
        are leave it to their form."""
        pseudo = settings.pseudo_labels
        count = len(pseudo) if pseudo is not None else 4 * _ends_with_pseudo_labels(labels)
        names = ["[PAD]" if label is None else label for label in labels]
        real = len(names) - count
        return cls(names[:real], names[real:])

    @property
    def all_labels(self) -> list[str]:
        """One per output of the model."""
        return [*self.labels, *self.pseudo_labels]

    @property
    def saved_keys(self) -> dict:
        """What `xtremedistil-config.json` says of the kind."""
        return {"do_NER": True, "do_pairwise": False}

    @property
    def head_widths(self) -> set[int]:
        """Outputs that a teacher of the task may have: one per label, and the original's four pseudo-labels."""
        return {len(self.labels), len(self.labels) + 4}

    def read(self, path: str | os.PathLike, labelled: bool = True) -> list[TaggedSentence]:
        """Sentences of a file: words<TAB>tags, both separated by single spaces.

        Args:
            labelled: False reads the first column only, so that a labelled file can serve as unlabelled text.

        Raises:
            InputError: file, line and fault; among them a number of tags that is not the number of words, and
                a tag that is not among the labels. A `lang:` before a tag (`en:B-PER`) is allowed.
        """
        if not labelled:
            return list(self.iter_unlabelled(path))
        numbers, sentences, blanks = [], [], 0
        for number, columns in read_table(path, COLUMNS):
            blanks += number - (numbers[-1] if numbers else number - 1) - 1
            numbers.append(number)
            sentences.append(self._labelled(path, number, *columns))
        rows = [(number, row.words, row.tags) for number, row in zip(numbers, sentences, strict=True)]
        check_sentence_rows(find_file(path), rows, blanks)
        return sentences

    def iter_unlabelled(self, path: str | os.PathLike) -> Iterator[TaggedSentence]:
        """The same as `read(path, labelled=False)`, one after the other."""
        return (TaggedSentence(words.split(" ")) for _, (words,) in read_table(path, COLUMNS[:1], at_least=True))

    def read_prediction_lines(self, path: str | os.PathLike) -> Iterator[TaggedSentence]:
        """One sentence for each line, empty ones too."""
        return (self.prediction_example(line) for _, line in read_lines(path))

    def prediction_example(self, line: str) -> TaggedSentence:
        """The sentence of one line of input; columns after the first are ignored."""
        return self.example(line.partition("\t")[0])

    def example(self, text: str | Sequence[str]) -> TaggedSentence:
        """A sentence from words, as they are, or from a text, whose words are what white space separates."""
        return TaggedSentence(text.split() if isinstance(text, str) else list(text))

    def text_of(self, example: TaggedSentence) -> str:
        return " ".join(example.words)

    def texts_of(self, example: TaggedSentence) -> list[list[str]]:
        """The words, as the one side that a sentence has."""
        return [list(example.words)]

    def from_texts(self, sides: Sequence[Sequence[str]]) -> TaggedSentence:
        """The unlabelled sentence of such words."""
        return TaggedSentence(list(sides[0]))

    def labels_to_sample(self, example: TaggedSentence) -> tuple[str, ...]:
        """Labels that a sample of rows has to hold because of this row: sentences are drawn whatever their tags."""
        return ()

    def _labelled(self, path: str | os.PathLike, number: int, text: str, tag_text: str) -> TaggedSentence:
        words, tags = text.split(" "), tag_text.split(" ")
        if len(words) != len(tags):
            raise InputError(_count_mismatch(find_file(path), number, words, tags))
        for tag in tags:
            if tag not in self._ids:
                self._learn(tag, find_file(path), number)
        return TaggedSentence(words, tags)

    def _learn(self, tag: str, path: str, number: int) -> None:
        """Notes the number of a tag that is a label behind `lang:`."""
        label = tag.partition(":")[2]
        if label not in self.labels:
            raise InputError(_unknown_label(path, number, tag, self.labels))
        self._ids[tag] = self._ids[label]

    def label_of(self, tag: str) -> str:
        """The label of a tag as it stands in a file: without `lang:`, unless that is part of a listed label."""
        if tag in self._ids:
            return self.labels[self._ids[tag]]
        rest = tag.partition(":")[2]
        if rest not in self._ids:
            raise InputError(f"The tag '{tag}' is not among the labels {', '.join(self.labels)}.")
        return rest

    def encode(
        self, examples: Sequence[TaggedSentence], tokenizer: Tokenizer, seq_len: int, original_rows: bool = False
    ) -> Features:
        """Rows of special and tokens, each at most `seq_len` long.

        A sentence that does not fit becomes overlapping windows of its tokens. Labels and word ids stand only at the
        first token of a word, in the one window that shows most of its surroundings.

        Args:
            original_rows: as the original made them: the tail of a long sentence is cut off, all rows are padded to
                `seq_len`, and every position has a label: `X` for continuation tokens, the pseudo-labels for special
                ones.

        Raises:
            InputError: `seq_len` leaves no room for text.
        """
        stream = TokenStream(tokenizer, [example.words for example in examples])
        if original_rows:
            return self._original_rows(examples, stream, tokenizer, seq_len)
        return stream.features(stream.in_windows(tokenizer.room(seq_len)), self._flat_label_ids(examples))

    def _flat_label_ids(self, examples: Sequence[TaggedSentence]) -> np.ndarray | None:
        """Label ids of all words."""
        if not examples or any(example.tags is None for example in examples):
            return None
        return np.fromiter((self._id(tag) for example in examples for tag in example.tags), np.int32)

    def _id(self, tag: str) -> int:
        found = self._ids.get(tag)
        return self._ids[self.label_of(tag)] if found is None else found

    def _original_rows(
        self, examples: Sequence[TaggedSentence], stream: TokenStream, tokenizer: Tokenizer, seq_len: int
    ) -> Features:
        room = seq_len - ORIGINAL_SPECIAL_PIECES
        if room < 1:
            tokenizer.room(seq_len)
        features = stream.features(stream.cut(room), self._flat_label_ids(examples))
        first = len(self.labels)
        labels = features.labels
        if labels is not None:
            labels = np.where(features.word_ids == NO_WORD, first + 1, labels).astype(np.int32)
            if tokenizer.start_ids:
                labels[features.offsets[:-1]] = first + 3
                labels[features.offsets[1:] - 1] = first + 2
        marked = Features(**{**vars(features), "labels": labels})
        return marked.padded_to(seq_len, tokenizer.pad_id, pad_label=first)

    def decode(
        self, features: Features, logits: Sequence[np.ndarray], examples: Sequence[TaggedSentence]
    ) -> list[np.ndarray]:
        """Probabilities of the real labels: float32 [words, L] per example.

        Args:
            logits: float [row length, L or L + 4] for each row of `features`; outputs of pseudo-labels are dropped.

        Returns:
            One array per example; a word that no position answers for has 1 for `O` (for the first label without `O`).
        """
        counts = np.array([len(example.words) for example in examples], np.int64)
        starts = np.cumsum(counts) - counts
        flat = np.zeros((int(counts.sum()), len(self.labels)), np.float32)
        flat[:, self._default_id()] = 1.0
        answering = np.flatnonzero(features.word_ids != NO_WORD)
        if len(answering):
            every = np.concatenate([row[:, : len(self.labels)] for row in logits])
            example_of = np.repeat(features.example_ids, features.lengths)[answering]
            flat[starts[example_of] + features.word_ids[answering]] = softmax(every[answering])
        return np.split(flat, starts[1:]) if len(counts) else []

    def _default_id(self) -> int:
        return self._ids.get(OUTSIDE, 0)

    def predict_labels(self, probabilities: Sequence[np.ndarray]) -> list[list[str]]:
        """The most probable label of each word of each example."""
        return [[self.labels[number] for number in words.argmax(axis=1)] for words in probabilities]

    def chosen(self, logits: np.ndarray) -> np.ndarray:
        """Which label each position gets: int [...] from float [..., L]."""
        return logits.argmax(axis=-1)

    def answer_text(self, answer: Sequence[str]) -> str:
        """The tags of a sentence as `predictions.txt` has them."""
        return " ".join(answer)

    def answer_json(self, answer: Sequence[str], probabilities: np.ndarray) -> dict:
        """The tags of a sentence, and the probability of each label of each word, float [words, L]."""
        return {"labels": answer, "probabilities": [named_probabilities(self.labels, row) for row in probabilities]}

    @property
    def metric_note(self) -> str:
        """What the main metric counts."""
        scheme = find_scheme(self.labels)
        if scheme is None:
            return "accuracy: share of words with the right tag; the labels mark no chunks"
        without = f"; {', '.join(scheme.left_out)} count as O" if scheme.left_out else ""
        return f"f1: whole chunks, counted as conlleval does; the scheme of the tags is {scheme.name}{without}"

    def counts(self, name: str, examples: Sequence[TaggedSentence]) -> str:
        """One line with the number of sentences, and how often each tag occurs."""
        return counts_line(name, len(examples), self._tag_counts(examples), self.labels)

    def _tag_counts(self, examples: Sequence[TaggedSentence]) -> Counter:
        return Counter(self.label_of(tag) for example in examples for tag in example.tags or ())

    def commonest_answers(self, train: Sequence[TaggedSentence], test: Sequence[TaggedSentence]) -> list:
        """Tags for `test` that all are the commonest tag of `train`."""
        ((tag, _),) = self._tag_counts(train).most_common(1)
        return [[tag] * len(example.words) for example in test]

    def cut_rows(
        self, examples: Sequence[TaggedSentence], features: Features, tokenizer: Tokenizer, seq_len: int
    ) -> int:
        """None: sentences that do not fit into a row become windows."""
        return 0

    def score(self, examples: Sequence[TaggedSentence], predictions: Sequence[Sequence[str]]) -> dict:
        """Metrics of predicted labels; see `evaluation.tagging_scores`."""
        gold = [[self.label_of(tag) for tag in example.tags or ()] for example in examples]
        languages = [self._language(example.tags or ()) for example in examples]
        return metrics.tagging_scores(gold, predictions, labels=self.labels, languages=languages)

    def _language(self, tags: Sequence[str]) -> str | None:
        """What stands before the first `:` of the first tag that has one in front of its label."""
        for tag in tags:
            language, colon, rest = tag.partition(":")
            if colon and (rest in self.labels or is_chunk_tag(rest)):
                return language
        return None

    def token_tags(self, ids_by_row: Sequence[np.ndarray]) -> list[list[str]]:
        """Names of label ids (arg max of logits, or gold) position by position, pseudo-labels too."""
        names = self.all_labels
        return [[names[number] for number in row] for row in ids_by_row]


def named_probabilities(labels: Sequence[str], values: np.ndarray) -> dict[str, float]:
    """By label, from float [L]."""
    return {label: round(float(value), 6) for label, value in zip(labels, values, strict=True)}


def softmax(logits: np.ndarray) -> np.ndarray:
    """float32 over the last axis."""
    shifted = logits.astype(np.float32)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _ends_with_pseudo_labels(labels: Sequence[str | None]) -> bool:
    if len(labels) < 5 or labels[-3] != CONTINUATION:
        return False
    pad, _, end, start = labels[-4:]
    special = [SPECIAL_TOKEN.fullmatch(label or "") for label in (end, start)]
    return all(special) and (pad is None or bool(SPECIAL_TOKEN.fullmatch(pad)))


def _count_mismatch(path: str, number: int, words: list[str], tags: list[str]) -> str:
    missing = len(words) - len(tags)
    cure = "Add the missing tag" if missing > 0 else "Remove the surplus tag"
    cure += "s" if abs(missing) > 1 else ""
    double = "There are empty ones: two spaces in a row, or one at an end.\n" if "" in words + tags else ""
    return (
        f"{path}, line {number}: {_plural(words, 'word')} but {_plural(tags, 'tag')}.\n"
        f"  words: {shorten(' '.join(words))}\n"
        f"  tags:  {shorten(' '.join(tags))}\n"
        f'{double}Expected "words<TAB>tags" with one tag per word, both separated by single spaces. '
        f"{cure} or delete the line."
    )


def _plural(items: list[str], name: str) -> str:
    return f"{len(items)} {name}{'' if len(items) == 1 else 's'}"


def _unknown_label(path: str, number: int, tag: str, labels: list[str]) -> str:
    near = difflib.get_close_matches(tag, labels, n=1, cutoff=0.0)
    return (
        f"{path}, line {number}: the tag '{shorten(tag)}' is not in {LABELS_FILE}. Did you mean '{near[0]}'?\n"
        f"  labels: {shorten(', '.join(labels))}\n"
        f"Correct the tag, or give it a line of its own in {LABELS_FILE}."
    )
