"""`load_predictor`: labels for texts, computed by Keras or by ONNX Runtime. The latter never imports TensorFlow."""

import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from xtremedistil.arguments import require_path, require_switch, require_text, require_whole
from xtremedistil.data.features import Features
from xtremedistil.data.text_files import shorten
from xtremedistil.errors import InputError, require_known
from xtremedistil.models.prediction import PredictFunction, predict_logits
from xtremedistil.serving.onnx_runtime import exported_file, open_exported
from xtremedistil.storage import model_folder
from xtremedistil.storage.checksums import check_files
from xtremedistil.tasks import Task, saved_task
from xtremedistil.tokenization.model_folder import load_tokenizer
from xtremedistil.tokenization.tokenizer import Tokenizer

RUNTIMES = ("keras", "onnx")
SEVERAL = list, tuple, np.ndarray  # words of a sentence, or the two texts of a pair
SHOWN_AROUND = 30  # characters before and after a fault


class Predictor:
    """Labels texts with a student. Threads may share one.

    Called with a list of texts (or of word lists, or of pairs for pair tasks), gives their labels in the same order:
    a list of tags, one per word, for tagging; a label for classification.

    Fields:
        predict_function: the model over padded rows. seq_len: longest row. batch_size: rows at a time.
    """

    def __init__(
        self, predict_function: PredictFunction, task: Task, tokenizer: Tokenizer, seq_len: int, batch_size: int = 32
    ):
        self.predict_function = predict_function
        self.task = task
        self.tokenizer = tokenizer
        self.seq_len = seq_len
        self.batch_size = batch_size

    def __call__(self, texts: Sequence) -> list:
        return self.task.predict_labels(self.probabilities(texts))

    def probabilities(self, texts: Sequence) -> list[np.ndarray]:
        """float32 [words, L] per text for tagging, [L] for classification; columns in the order of `task.labels`.

        Raises:
            InputError: one text or a table instead of a list, something else among the texts, a text among pairs or the
                reverse, or a text with half a character.
        """
        examples = [self._example(number, text) for number, text in enumerate(_listed(texts))]
        _refuse_half_characters([self.task.text_of(example) for example in examples])
        return self.example_probabilities(examples)

    def _example(self, number: int, text):
        """The row of one text, list of words or pair. Raises InputError, with its number, if it is neither."""
        parts = [text] if isinstance(text, str) else text if isinstance(text, SEVERAL) else [None]
        if not all(isinstance(part, str) for part in parts):
            raise InputError(
                f"texts[{number}] is {shorten(repr(text))}, of type {type(text).__name__}; a text is expected, or a "
                "list of texts: the words of a sentence, or a pair."
            )
        try:
            return self.task.example(text)
        except InputError as error:
            raise InputError(f"texts[{number}]: {error}") from error

    def example_probabilities(self, examples: Sequence) -> list[np.ndarray]:
        return self.decode(self.encode(examples), examples) if examples else []

    def encode(self, examples: Sequence) -> Features:
        """The rows of examples, each at most `seq_len` long."""
        return self.task.encode(examples, self.tokenizer, self.seq_len)

    def decode(self, features: Features, examples: Sequence) -> list[np.ndarray]:
        """Probabilities of examples from their rows."""
        return self.task.decode(features, self.logits(features), examples)

    def cut_rows(self, examples: Sequence, features: Features) -> int:
        """How many of the encoded examples lost their end to `seq_len`."""
        return self.task.cut_rows(examples, features, self.tokenizer, self.seq_len)

    def token_tags(self, examples: Sequence) -> Iterator[tuple[list[str], list[str]]]:
        """Pieces and tags of each example, without the special tokens around it, cut to the longest row."""
        features = self.task.encode(examples, self.tokenizer, self.seq_len, original_rows=True)
        before, after = len(self.tokenizer.start_ids), len(self.tokenizer.end_ids)
        tags = self.task.token_tags([values.argmax(axis=-1) for values in self.logits(features)])
        for number, row in enumerate(tags):
            real = int(features.row(number)["attention_mask"].sum()) - after
            ids = features.row(number)["input_ids"][before:real]
            yield self.tokenizer.tokens(ids.tolist()), row[before:real]

    def logits(self, features: Features) -> list[np.ndarray]:
        """Of each row, without padding, as its labels are found: int8 models say other things in other batches."""
        return predict_logits(self.predict_function, features, batch_size=self.batch_size, pad_id=self.tokenizer.pad_id)


def _listed(texts) -> list:
    """The texts. Raises InputError for what is no list of them."""
    if isinstance(texts, str | bytes):
        raise InputError(f"A list of texts is expected, not one text: [{texts[:40]!r}].")
    columns = list(texts) if isinstance(texts, Mapping) else getattr(texts, "columns", None)
    if columns is not None:
        raise InputError(
            f"A list of texts is expected, not a table with the columns {shorten(', '.join(map(str, columns)))}. "
            'Name the one with the texts: list(table["text"]).'
        )
    try:
        return list(texts)
    except TypeError as error:
        raise InputError(f"A list of texts is expected, not {shorten(repr(texts))}.") from error


def _refuse_half_characters(texts: Sequence[str]) -> None:
    """Lone surrogates cannot be encoded, so no tokenizer takes them. Files have none: they are read as strict UTF-8."""
    for number, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            place = error.start
            raise InputError(
                f"texts[{number}] holds {text[place]!a}, half of a surrogate pair, at position {place}: "
                f"{text[max(0, place - SHOWN_AROUND) : place + SHOWN_AROUND]!a}.\nIt was decoded wrongly. "
                "Decode it again, or put U+FFFD in its place."
            ) from error


def load_predictor(
    model_dir: str,
    *,
    runtime: str = "keras",
    weights: str = model_folder.STUDENT_WEIGHTS,
    batch_size: int = 32,
    tokenizer: str | None = None,
    quantize: bool = False,
    num_threads: int | None = None,
    accept_weights: bool = False,
) -> Predictor:
    """A `Predictor` for the student of a model folder.

    Args:
        runtime: "keras", or "onnx" for an exported folder (needs onnxruntime, tokenizers and numpy only).
        weights: weight file; for "onnx" the one that the graph has to be made of, if it is there.
        tokenizer: folder or hub name, for folders of the original release, which hold none.
        quantize: for "onnx": the int8 graph. num_threads: for "onnx"; by default the cores this process may use.
        accept_weights: use files that were changed on purpose, though their checksums are others.

    Raises:
        InputError: the folder cannot be used, holds no such export, or a file in it is damaged.
    """
    require_path("model_dir", model_dir)
    require_text("weights", weights)
    require_path("tokenizer", tokenizer, optional=True)
    require_whole("batch_size", batch_size, 1)
    require_whole("num_threads", num_threads, 1, optional=True)
    require_switch("quantize", quantize)
    require_switch("accept_weights", accept_weights)
    require_text("runtime", runtime)
    require_known("runtime", runtime, RUNTIMES)
    large = [weights, *_large_files(model_dir, runtime, quantize)]
    check_files(model_dir, large, accept=accept_weights)
    if tokenizer:
        check_files(tokenizer, (), accept=accept_weights)
    saved = model_folder.read_config(model_dir)
    task = saved_task(saved)
    if runtime == "onnx":
        predict = _onnx_function(model_dir, task, weights, quantize, num_threads)
    else:
        predict = _keras_function(model_dir, weights)
    return Predictor(predict, task, load_tokenizer(model_dir, saved, tokenizer), saved["seq_len"], batch_size)


def _large_files(model_dir: str, runtime: str, quantize: bool) -> list[str]:
    """Names of the large files that a runtime reads, beside the student's weights."""
    if runtime == "keras":
        return [model_folder.WORD_EMBEDDING]
    graph = exported_file(model_dir, quantize=quantize)
    return [os.path.basename(graph)] if graph else []


def _onnx_function(model_dir: str, task: Task, weights: str, quantize: bool, num_threads: int | None):
    function = open_exported(model_dir, weights=weights, quantize=quantize, num_threads=num_threads)
    if function.notes["labels"] != task.all_labels:
        found, expected = (shorten(", ".join(labels)) for labels in (function.notes["labels"], task.all_labels))
        raise InputError(
            f"{model_dir} holds files of two students, one of which was exported. Copy both from one folder.\n"
            f"  labels of the graph: {found}\n"
            f"  labels of {model_folder.CONFIG}: {expected}"
        )
    return function


def _keras_function(model_dir: str, weights: str) -> PredictFunction:
    from xtremedistil.models.forward import make_predict_function
    from xtremedistil.models.student_folder import restore_student

    return make_predict_function(restore_student(model_dir, weights).model)
