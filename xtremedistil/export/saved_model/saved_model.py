"""A student as a SavedModel: ids in, logits out; and texts in, labels and probabilities out, tokenizer included."""

import glob
import importlib
import os
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from xtremedistil.arguments import require_path
from xtremedistil.data.padding import INPUT_NAMES, Arrays
from xtremedistil.data.text_files import shorten
from xtremedistil.errors import InputError
from xtremedistil.export.common.config import ExportConfig
from xtremedistil.export.common.earlier_export import refuse_foreign
from xtremedistil.export.common.parity import Exported, compare, median_milliseconds, refuse_difference
from xtremedistil.export.common.source import Source, open_source
from xtremedistil.export.common.validation import check_export
from xtremedistil.storage import files, model_folder
from xtremedistil.storage.folders import new_folder, size_of

FORM = "saved_model"
MARK = "xtremedistil-export.json"  # by which an earlier export is known; programs that load SavedModels do not see it
OWN_FILES = {"saved_model.pb", "fingerprint.pb", "variables", "assets", MARK}
TEXTS_PER_CALL = 64
LARGEST_SHARE = 0.001  # of rows that the tokenizer in the graph may cut into other tokens
NEAR = 1e-3  # probabilities of the same tokens are nearer to each other
NEEDS_IMPORT = "programs that load it have to `import tensorflow_text` first, which brings the tokenizer's operations"
NEEDS_PLAIN_PATH = (
    "TensorFlow takes *, ? and [ ] in a path for a pattern: move the folder to one without them to load it"
)
Labeller = Callable[..., dict[str, tf.Tensor]]


def export_saved_model(
    model_dir: str,
    out: str | None = None,
    *,
    weights: str = model_folder.STUDENT_WEIGHTS,
    task: str | None = None,
    rows: str | None = None,
    tokenizer: str | None = None,
) -> Exported:
    """Writes the student of a model folder as a SavedModel.

    Its signatures are `serving_default` (`input_ids`, `attention_mask`, `token_type_ids`, int32 [B, S], in; `logits`
    out) and `texts`. The latter takes `texts`, string [B] (for pair tasks `text_pairs`, too), and gives `labels` and
    `probabilities`: string [B] and float32 [B, L] for classification; for tagging, where words are separated by single
    spaces, string [B, W] and float32 [B, W, L], padded, and `words`, int32 [B], how many there are. Where a text may
    have several labels, they are joined by the task's separator, as in `predictions.txt`: a signature has no lists of
    unequal length.

    Args:
        out: the new folder, by default `saved_model` in `model_dir`; an earlier export there is replaced, but no
            SavedModel of other programs.
        weights: weight file in `model_dir`.
        task, rows: what to compare on; see `source.open_source`.
        tokenizer: folder or hub name, for folders of the original release, which hold none.

    Returns:
        how it compares with the student. Its remarks say if there are no `texts`, and why.

    Raises:
        InputError: the folder cannot be exported, `out` holds something else, or the export differs from the student.
    """
    require_path("out", out, optional=True)
    require_path("tokenizer", tokenizer, optional=True)
    check_export(ExportConfig(model_dir=model_dir, to=(FORM,), weights=weights, task=task, rows=rows))
    source = open_source(model_dir, weights=weights, task=task, rows=rows, tokenizer=tokenizer)
    return write_saved_model(source, out or os.path.join(model_dir, model_folder.SAVED_MODEL))


def write_saved_model(source: Source, out: str) -> Exported:
    """The same from an opened student. `out` appears whole, once it was compared with the student, or not at all."""
    out = os.path.abspath(out)
    refuse_foreign(out, OWN_FILES, _is_export)
    _load_operations()
    try:
        labeller, odd_rows = text_labeller(source)
        remarks = (NEEDS_IMPORT, *([_odd_rows_remark(source, odd_rows)] if odd_rows else []))
    except InputError as reason:
        labeller, odd_rows, remarks = None, [], (f"ids only, no signature for texts: {reason}",)
    if glob.has_magic(out):
        remarks = (*remarks, NEEDS_PLAIN_PATH)
    with new_folder(out) as folder:
        _save(ServedStudent(source, labeller), folder)
        files.write_json(os.path.join(folder, MARK), {"made_by": "xtremedistil"})
        loaded = _load(folder)
        predict = _predict_function(loaded.signatures["serving_default"])
        difference, agreement = compare(source.logits, source.logits_of(predict), source.task.chosen)
        refuse_difference(FORM, difference)
        if labeller is not None:
            agreement = text_agreement(source, loaded.signatures["texts"], odd_rows=len(odd_rows))
        return Exported(
            form=FORM,
            path=os.path.basename(out),
            bytes=size_of(folder),
            rows=len(source.rows.features),
            largest_difference=difference,
            label_agreement=agreement,
            milliseconds=median_milliseconds(predict, source.single_rows()),
            remarks=remarks,
        )


def _is_export(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, MARK))


def _load_operations() -> None:
    """Raises InputError if tensorflow-text is of another TensorFlow than the one that is here."""
    try:
        importlib.import_module("tensorflow_text")
    except (ImportError, tf.errors.NotFoundError) as error:
        release = tf.__version__.rpartition(".")[0]
        raise InputError(
            f"tensorflow-text cannot be loaded ({shorten(str(error).partition(chr(10))[0])}).\n"
            f"It has to be of TensorFlow's own version: pip install 'tensorflow-text=={release}.*'"
        ) from error


def _save(served: "ServedStudent", folder: str) -> None:
    signatures = {"serving_default": served.serving_default}
    if served.texts is not None:
        signatures["texts"] = served.texts
    try:
        tf.saved_model.save(served, folder, signatures=signatures)
    except tf.errors.OpError as error:
        reason = error.message.partition(" [Op:")[0].rpartition("; ")[2]
        raise InputError(f"{folder} cannot be written: {reason}. What was there is intact.") from error


def _load(folder: str):
    """Loads a SavedModel by a path in which TensorFlow finds no pattern of file names."""
    with tempfile.TemporaryDirectory() as place:
        plain = os.path.join(place, "saved_model")
        os.symlink(folder, plain)
        return tf.saved_model.load(plain)


class ServedStudent(tf.Module):
    """What is saved. Its functions are the signatures.

    Fields:
        serving_default: from padded ids to logits. texts: from texts to labels; None without a tokenizer.
    """

    def __init__(self, source: Source, labeller: Labeller | None):
        super().__init__()
        # The variables only: a Keras model would be saved layer by layer, for Keras to load.
        self._weights = list(source.student.model.weights)
        self._labeller = labeller
        forward = _forward(source)

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, name) for name in INPUT_NAMES])
        def serving_default(input_ids, attention_mask, token_type_ids):
            values = (input_ids, attention_mask, token_type_ids)
            return {"logits": forward(dict(zip(INPUT_NAMES, values, strict=True)))}

        self.serving_default = serving_default
        self.texts = None if labeller is None else _text_function(labeller, source.task.pairs)


def _forward(source: Source) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
    model = source.student.model
    return lambda inputs: model(inputs, training=False)["logits"]


def _text_function(labeller: Labeller, pairs: bool):
    strings = [tf.TensorSpec([None], tf.string, name) for name in ("texts", "text_pairs")]

    @tf.function(input_signature=strings[:1])
    def label_texts(texts):
        return labeller(texts)

    @tf.function(input_signature=strings)
    def label_pairs(texts, text_pairs):
        return labeller(texts, text_pairs)

    return label_pairs if pairs else label_texts


def _predict_function(serving_default) -> Callable[[Arrays], Arrays]:
    def predict(batch: Arrays) -> Arrays:
        outputs = serving_default(**{name: tf.constant(batch[name]) for name in INPUT_NAMES})
        return {"logits": outputs["logits"].numpy()}

    return predict


# Texts


def text_labeller(source: Source) -> tuple[Labeller, list[str]]:
    """From texts to labels, as a module; and the few rows of the source that its tokenizer cuts into other tokens.

    Raises:
        InputError: the tokenizer cannot be in a graph, or cuts too many of the rows into other tokens.
    """
    from xtremedistil.export.saved_model.graph_labels import TextClassifier, WordTagger, row_layout
    from xtremedistil.export.saved_model.graph_tokenizer import graph_tokenizer, odd_sentences, read_pipeline

    task, tokenizer, seq_len = source.task, source.tokenizer, source.saved["seq_len"]
    pipeline = read_pipeline(tokenizer)
    pieces = graph_tokenizer(pipeline)
    examples = source.rows.examples
    odd = {number % len(examples) for number in odd_sentences(pieces, tokenizer, _sentences(source))}
    odd_rows = [task.text_of(examples[number]) for number in sorted(odd)]
    if len(odd_rows) > LARGEST_SHARE * len(examples):
        raise InputError(_odd_rows_remark(source, odd_rows))
    if task.by_position:
        return WordTagger(pieces, _forward(source), task, tokenizer, seq_len), odd_rows
    layout = row_layout(pipeline, tokenizer, task.pairs)
    return TextClassifier(pieces, _forward(source), task, layout, tokenizer.pad_id, seq_len), odd_rows


def _odd_rows_remark(source: Source, odd_rows: list[str]) -> str:
    share = f"{len(odd_rows)} of {len(source.rows.examples)} rows"
    return f"the tokenizer in the graph cuts {share} into other tokens, for example '{shorten(odd_rows[0])}'"


def _sentences(source: Source) -> list[list[str]]:
    """The rows as words; for classification the texts, then the second texts, each as a word."""
    examples = source.rows.examples
    if source.task.by_position:
        return [example.words for example in examples]
    seconds = [example.text_pair for example in examples] if source.task.pairs else []
    return [[text] for text in [*(example.text for example in examples), *seconds]]


def text_agreement(source: Source, texts: Callable[..., dict[str, tf.Tensor]], *, odd_rows: int) -> float:
    """Share of labels that are the same by the texts' signature and by the predictor's way.

    Args:
        texts: the signature. odd_rows: as many rows may have other probabilities.

    Raises:
        InputError: more have.
    """
    task, examples = source.task, source.rows.examples
    expected = task.decode(source.rows.features, source.logits, examples)
    same, far = [], []
    answers = task.predict_labels(expected)
    if not task.by_position:
        answers = [task.answer_text(answer) for answer in answers]
    rows = zip(examples, expected, answers, _labelled(source, texts), strict=True)
    for example, probabilities, labels, (found_probabilities, found_labels) in rows:
        if not task.text_of(example):  # as words: none, though the file has an empty one
            continue
        comparable = probabilities.shape == found_probabilities.shape
        same.append(np.atleast_1d(np.equal(labels, found_labels)) if comparable else np.zeros(1, bool))
        if not comparable or np.abs(probabilities - found_probabilities).max() > NEAR:
            far.append(task.text_of(example))
    if len(far) > odd_rows:
        raise InputError(
            f"The {FORM} export labels {len(far)} of {len(examples)} texts otherwise than the student, for example "
            f"'{shorten(far[0])}'; nothing was written. Please report this with tensorflow-text's version."
        )
    return float(np.concatenate(same).mean()) if same else 1.0


def _labelled(source: Source, texts: Callable[..., dict[str, tf.Tensor]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Probabilities and labels of each row by the texts' signature: [words, L] and [words], or [L] and []."""
    examples = source.rows.examples
    for start in range(0, len(examples), TEXTS_PER_CALL):
        block = examples[start : start + TEXTS_PER_CALL]
        outputs = {name: value.numpy() for name, value in texts(**_text_inputs(source, block)).items()}
        labels = np.char.decode(outputs["labels"].astype(bytes), "utf-8")
        for number, probabilities in enumerate(outputs["probabilities"]):
            real = slice(outputs["words"][number]) if "words" in outputs else ...
            yield probabilities[real], labels[number][real] if "words" in outputs else labels[number]


def _text_inputs(source: Source, examples: list) -> dict[str, tf.Tensor]:
    if not source.task.pairs:
        return {"texts": tf.constant([source.task.text_of(example) for example in examples])}
    return {
        "texts": tf.constant([example.text for example in examples]),
        "text_pairs": tf.constant([example.text_pair for example in examples]),
    }
