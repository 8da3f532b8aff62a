"""Texts in, labels and probabilities out, in TensorFlow operations: what `Predictor` does, around the same student.

Axes: B texts, W words of a text, T words of all texts, P tokens, N rows (a long sentence has several), S positions,
L real labels.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from xtremedistil.errors import InputError
from xtremedistil.export.saved_model.graph_tokenizer import GraphTokenizer, Pipeline
from xtremedistil.tasks import Task, TokenClassification
from xtremedistil.tasks.problem_types import CLASSES, SEVERAL_LABELS, THRESHOLD
from xtremedistil.tasks.token_classification import OUTSIDE
from xtremedistil.tokenization.tokenizer import Tokenizer

# The three named inputs, int32 [N, S], in; float32 [N, S, L or more] for tagging, [N, L] for classification out.
Forward = Callable[[dict[str, tf.Tensor]], tf.Tensor]


def row_logits(forward: Forward, ids: tf.RaggedTensor, types: tf.RaggedTensor, pad_id: int) -> tf.Tensor:
    """Logits of rows of ids and of types, int32 [N, (S)]."""
    inputs = {
        "input_ids": ids.to_tensor(pad_id),
        "attention_mask": tf.ones_like(ids).to_tensor(0),
        "token_type_ids": types.to_tensor(0),
    }
    rows = ids.nrows(tf.int32)
    one_if_none = tf.cast(rows == 0, tf.int32)  # no encoder takes a batch of no rows
    inputs = {name: tf.pad(values, [[0, one_if_none]] * 2) for name, values in inputs.items()}
    return forward(inputs)[:rows]


def _column(values: Sequence[int], rows: tf.Tensor) -> tf.Tensor:
    """The same values in each row, int32 [rows, len(values)]."""
    return tf.tile(tf.constant([list(values)], tf.int32, [1, len(values)]), [rows, 1])


# Tagging


class WordTagger(tf.Module):
    """Labels the words of sentences, as `Predictor` does.

    One difference: XLNet has a token for a blank at the end of a text, and where a word without anything visible stands
    inside a sentence, `Tokenizer.encode_flat` gives it a token of the word behind it. Here that word keeps its tokens.

    Args:
        seq_len: longest row.
    """

    def __init__(
        self, pieces: GraphTokenizer, forward: Forward, task: TokenClassification, tokenizer: Tokenizer, seq_len: int
    ):
        super().__init__()
        self._pieces, self._forward = pieces, forward
        self._start, self._end, self._pad_id = list(tokenizer.start_ids), list(tokenizer.end_ids), tokenizer.pad_id
        if not self._start + self._end:
            raise InputError("its tokenizer puts no special tokens around a sentence")
        self._room = tokenizer.room(seq_len)
        self._labels = list(task.labels)
        self._default = self._labels.index(OUTSIDE) if OUTSIDE in self._labels else 0

    def __call__(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """From sentences whose words are separated by single spaces, string [B].

        Returns:
            "labels": string [B, W], "" behind the last word. "probabilities": float32 [B, W, L], 0 there.
            "words": how many there are, int32 [B].
        """
        words = split_words(texts)
        pieces = self._pieces(with_space_before(words))
        borders = tf.gather(pieces.row_splits, words.row_splits)  # of the sentences, in tokens
        windows = Windows(borders[1:] - borders[:-1], self._room)
        ids = tf.gather(pieces.flat_values, windows.shown(borders[:-1]))
        rows = ids.nrows(tf.int32)
        ids = tf.concat([_column(self._start, rows), ids, _column(self._end, rows)], axis=1)
        logits = row_logits(self._forward, ids, tf.zeros_like(ids), self._pad_id)
        sentence = words.value_rowids()
        row, position = windows.owner(sentence, pieces.row_starts() - tf.gather(borders, sentence))
        probabilities = self._answers(logits, row, position + len(self._start), pieces.row_lengths() > 0)
        labels = tf.gather(tf.constant(self._labels), tf.argmax(probabilities, axis=-1))
        return {
            "labels": words.with_values(labels).to_tensor(""),
            "probabilities": words.with_values(probabilities).to_tensor(0.0),
            "words": tf.cast(words.row_lengths(), tf.int32),
        }

    def _answers(self, logits: tf.Tensor, row: tf.Tensor, position: tf.Tensor, answered: tf.Tensor) -> tf.Tensor:
        """Probabilities of all words, float32 [T, L]; a word without tokens has 1 for `O`."""
        places = tf.where(answered[:, None], tf.stack([row, position], axis=1), 0)
        found = tf.nn.softmax(tf.gather_nd(logits, places)[:, : len(self._labels)])
        return tf.where(answered[:, None], found, tf.one_hot(self._default, len(self._labels))[None])


# What `str.isspace` holds for; RE2's own \s is of ASCII alone.
WHITE_SPACE = r"[\t-\r\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+"


def split_words(texts: tf.Tensor) -> tf.RaggedTensor:
    """string [B, (W)]: what white space separates, as `str.split` has it."""
    return tf.strings.split(tf.strings.regex_replace(texts, WHITE_SPACE, " "))


def with_space_before(words: tf.RaggedTensor) -> tf.Tensor:
    """All words, string [T], with a space before them unless they begin a sentence."""
    is_first = tf.ragged.range(words.row_lengths()).flat_values == 0
    return tf.strings.join([tf.where(is_first, "", " "), words.flat_values])


class Windows:
    """Windows over sentences that are too long for a row, as `tasks.tagging.windows` cuts them.

    Args:
        totals: tokens of each sentence, int64 [B]. room: tokens that fit into a row.
    """

    def __init__(self, totals: tf.Tensor, room: int):
        self._totals, self._room, self._stride = totals, room, max(1, room // 2)
        self._beyond = tf.maximum(totals - room, 0)
        self._counts = -(-self._beyond // self._stride) + 1

    def shown(self, sentence_starts: tf.Tensor) -> tf.RaggedTensor:
        """The tokens in each window, int64 [N, (P)], counted through all sentences."""
        numbers = tf.ragged.range(self._counts)
        sentence = numbers.value_rowids()
        starts = self._starts(sentence, numbers.flat_values)
        stops = tf.minimum(starts + self._room, tf.gather(self._totals, sentence))
        offsets = tf.gather(sentence_starts, sentence)
        return tf.ragged.range(offsets + starts, offsets + stops)

    def _starts(self, sentence: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        return tf.minimum(number * self._stride, tf.gather(self._beyond, sentence))

    def owner(self, sentence: tf.Tensor, first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The row that shows most context on the poorer side of a token, and where the token stands in it.

        Windows are equally wide, so the border between two is half-way between their middles. Borders are a stride
        apart, but for the last one, because the last window ends with the sentence.

        Args:
            sentence, first: of each word, the sentence and the first token in it, int64 [T].
        """
        count, beyond = tf.gather(self._counts, sentence), tf.gather(self._beyond, sentence)
        regular = -((self._stride + self._room - 1 - 2 * first) // (2 * self._stride))
        regular = tf.clip_by_value(regular, 0, tf.maximum(count - 2, 0))
        behind_last = (count > 1) & ((count - 2) * self._stride + beyond + self._room - 1 < 2 * first)
        number = regular + tf.cast(behind_last, tf.int64)
        rows_before = tf.cumsum(self._counts, exclusive=True)
        return tf.gather(rows_before, sentence) + number, first - self._starts(sentence, number)


# Classification


@dataclass(frozen=True)
class Part:
    """A stretch of a row.

    Fields:
        text: which text stands here, 0 or 1; None for special tokens.
        ids: of the special tokens. types: token types of these, or the one of all tokens of the text.
    """

    text: int | None
    ids: tuple[int, ...]
    types: tuple[int, ...]


def row_layout(pipeline: Pipeline, tokenizer: Tokenizer, pairs: bool) -> list[Part]:
    """How the tokenizer builds rows, seen on a row that it built.

    Raises:
        InputError: it puts no special tokens into them, so that an empty text would be an empty row; or it cuts long
            texts at their beginning.
    """
    if pipeline.truncation_side != "right":
        raise InputError("its tokenizer cuts long texts at their beginning")
    encoding = pipeline.backend.encode("a", "a" if pairs else None)
    ((ids, types),) = tokenizer.encode_texts(["a"], ["a"] if pairs else None, max_length=len(encoding.ids))
    parts = []
    for text, places in itertools.groupby(zip(encoding.sequence_ids, ids, types, strict=True), lambda place: place[0]):
        _, part_ids, part_types = zip(*places, strict=True)
        parts.append(Part(text, part_ids, part_types) if text is None else Part(text, (), part_types[:1]))
    if all(part.text is not None for part in parts):
        raise InputError("its tokenizer puts no special tokens around a text")
    return parts


class TextClassifier(tf.Module):
    """Labels texts, or pairs of texts.

    Args:
        layout: how rows are built. seq_len: longest row.
    """

    def __init__(
        self,
        pieces: GraphTokenizer,
        forward: Forward,
        task: Task,
        layout: list[Part],
        pad_id: int,
        seq_len: int,
    ):
        super().__init__()
        self._pieces, self._forward, self._layout, self._pad_id = pieces, forward, layout, pad_id
        self._room = seq_len - sum(len(part.ids) for part in layout)
        self._task, self._labels = task, list(task.labels)

    def __call__(self, *texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """From one string [B] for each text of a row.

        Returns:
            "labels": string [B], several of a text joined by the task's separator. "probabilities": float32 [B, L].
        """
        pieces = longest_first([self._pieces(some) for some in texts], self._room)
        rows = pieces[0].nrows(tf.int32)
        ids = tf.concat([self._ids(part, pieces, rows) for part in self._layout], axis=1)
        types = tf.concat([self._types(part, pieces, rows) for part in self._layout], axis=1)
        logits = row_logits(self._forward, ids, types, self._pad_id)
        return ANSWERS[self._task.problem_type](self._task, logits[:, : len(self._labels)])

    @staticmethod
    def _ids(part: Part, pieces: list[tf.RaggedTensor], rows: tf.Tensor) -> tf.Tensor | tf.RaggedTensor:
        return _column(part.ids, rows) if part.text is None else pieces[part.text]

    @staticmethod
    def _types(part: Part, pieces: list[tf.RaggedTensor], rows: tf.Tensor) -> tf.Tensor | tf.RaggedTensor:
        return _column(part.types, rows) if part.text is None else tf.ones_like(pieces[part.text]) * part.types[0]


def _one_label(task: Task, logits: tf.Tensor) -> dict[str, tf.Tensor]:
    probabilities = tf.nn.softmax(logits)
    labels = tf.gather(tf.constant(list(task.labels)), tf.argmax(probabilities, axis=-1))
    return {"labels": labels, "probabilities": probabilities}


def _several_labels(task: Task, logits: tf.Tensor) -> dict[str, tf.Tensor]:
    probabilities = tf.sigmoid(logits)
    names = tf.broadcast_to(tf.constant(list(task.labels)), tf.shape(probabilities))
    chosen = tf.ragged.boolean_mask(names, probabilities >= THRESHOLD)
    labels = tf.strings.reduce_join(chosen, axis=1, separator=task.label_separator)
    return {"labels": labels, "probabilities": probabilities}


# From logits of rows, by what they say.
ANSWERS = {CLASSES: _one_label, SEVERAL_LABELS: _several_labels}


def longest_first(pieces: list[tf.RaggedTensor], room: int) -> list[tf.RaggedTensor]:
    """One or two texts, int32 [B, (P)] each, cut to `room` tokens together, the longer one first."""
    if len(pieces) == 1:
        return [_cut(pieces[0], tf.fill([pieces[0].nrows()], tf.constant(room, tf.int64)))]
    first, second = (text.row_lengths() for text in pieces)
    shorter = tf.minimum(first, second)
    both_too_long = 2 * shorter > room
    for_shorter = tf.where(both_too_long, tf.constant(room // 2, tf.int64), shorter)
    for_longer = room - for_shorter
    first_is_longer = first > second
    return [
        _cut(pieces[0], tf.where(first_is_longer, for_longer, for_shorter)),
        _cut(pieces[1], tf.where(first_is_longer, for_shorter, for_longer)),
    ]


def _cut(pieces: tf.RaggedTensor, limits: tf.Tensor) -> tf.RaggedTensor:
    return tf.ragged.boolean_mask(pieces, tf.ragged.range(pieces.row_lengths()) < limits[:, None])
