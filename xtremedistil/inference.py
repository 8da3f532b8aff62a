"""Using a finished student: `load_student`, `load_predictor`, and the predict command.

Folders of the original release are read too: what they do not say (sizes, vocabulary) is read off their weights.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import tensorflow as tf

from xtremedistil import artefacts, original_release
from xtremedistil.config import PredictConfig
from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.models.checkpoints import new_encoder_from_config
from xtremedistil.models.embeddings import word_embedding_variable
from xtremedistil.models.families import find_family
from xtremedistil.models.forward import make_predict_function, predict_logits
from xtremedistil.models.student import ENCODER_NAME, Student, build_student
from xtremedistil.scoring import Scorer
from xtremedistil.tasks import Task, task_from_labels
from xtremedistil.tasks.features import LabelledSet
from xtremedistil.tasks.tokenizer import Tokenizer
from xtremedistil.training.strategy import set_precision
from xtremedistil.weights import load_weights, weight_name

LINES_AT_A_TIME = 4096


def load_student(model_dir: str, weights: str = artefacts.STUDENT_WEIGHTS) -> tf.keras.Model:
    """The student of a model folder, as a Keras model.

    Args:
        model_dir: folder that distillation wrote (this package's, or the original release's).
        weights: weight file in it.

    Returns:
        A functional model: dict of `input_ids`, `attention_mask`, `token_type_ids`, int32 [B, S], in;
        {"logits": float32 [B, S, L] for tagging, [B, L] for classification} out.

    Raises:
        MissingFileError: the folder or one of its files is missing. InputError: a file in it is damaged or foreign.
    """
    return restore_student(model_dir, weights).model


def restore_student(model_dir: str, weights: str = artefacts.STUDENT_WEIGHTS) -> Student:
    """The student with its parts; see `load_student`."""
    saved = artefacts.read_config(model_dir)
    path = os.path.join(model_dir, weights)
    if not os.path.isfile(path):
        there = ", ".join(sorted(name for name in os.listdir(model_dir) if name.endswith(".h5"))) or "none"
        raise MissingFileError(f"{path} does not exist. Weight files in {model_dir}: {there}.")
    encoder_config = saved.get("student_config") or original_release.encoder_config(model_dir, saved, path)
    family = find_family("auto", encoder_config["model_type"])
    encoder = new_encoder_from_config(encoder_config, family, name=ENCODER_NAME)
    student = build_student(
        encoder,
        family,
        kind=restore_task(saved).kind,
        num_labels=len(saved["label_list"]),
        teacher_hidden_size=saved["teacher_hidden_size"],
    )
    _load(student, model_dir, path)
    return student


def _load(student: Student, model_dir: str, path: str) -> None:
    table = word_embedding_variable(student.encoder)
    if load_weights(path, student.parts, optional=[weight_name(ENCODER_NAME, table)]):
        frozen = original_release.frozen_word_embedding(model_dir)
        if frozen.shape != tuple(table.shape):
            raise InputError(
                f"{os.path.join(model_dir, artefacts.WORD_EMBEDDING)} has shape {frozen.shape}; "
                f"the student needs {tuple(table.shape)}."
            )
        table.assign(frozen)


def restore_task(saved: dict) -> Task:
    """The task of a saved `xtremedistil-config.json`."""
    labels, pseudo = saved["label_list"], saved.get("pseudo_labels")
    return task_from_labels(labels, do_NER=saved["do_NER"], do_pairwise=saved["do_pairwise"], pseudo_labels=pseudo)


def load_tokenizer(model_dir: str, saved: dict, source: str | None = None) -> Tokenizer:
    """The one of `source` if given, else the folder's own, else the one of the teacher's checkpoint.

    Raises:
        InputError: none of them can be loaded.
    """
    if source:
        return Tokenizer.load(source)
    try:
        return Tokenizer.load(model_dir)
    except InputError as own:
        try:
            return Tokenizer.load(saved.get("pt_teacher_checkpoint") or model_dir)
        except InputError as error:
            raise InputError(f"{own}\n{error}\nName the tokenizer's folder with --pt_teacher_checkpoint.") from error


class Predictor:
    """Labels texts with a student.

    Called with a list of texts (or of word lists, or of pairs for pair tasks), gives their labels in the same order:
    a list of tags, one per word, for tagging; a label for classification.
    """

    def __init__(self, model: tf.keras.Model, task: Task, tokenizer: Tokenizer, seq_len: int, batch_size: int = 32):
        self.task = task
        self.tokenizer = tokenizer
        self._predict = make_predict_function(model)
        self._seq_len = seq_len
        self._batch_size = batch_size

    @property
    def predict_function(self):
        return self._predict

    def __call__(self, texts: Sequence) -> list:
        return self.task.predict_labels(self.probabilities(texts))

    def probabilities(self, texts: Sequence) -> list[np.ndarray]:
        """float32 [words, L] per text for tagging, [L] for classification; columns in the order of `task.labels`."""
        if isinstance(texts, str):
            raise InputError(f"A list of texts is expected, not one text: [{texts[:40]!r}].")
        examples = [self.task.example(text) for text in texts]
        return self.example_probabilities(examples)

    def example_probabilities(self, examples: Sequence) -> list[np.ndarray]:
        if not examples:
            return []
        features = self.task.encode(examples, self.tokenizer, self._seq_len)
        logits = predict_logits(self._predict, features, batch_size=self._batch_size, pad_id=self.tokenizer.pad_id)
        return self.task.decode(features, logits, examples)

    def piece_tags(self, examples: Sequence) -> Iterator[tuple[list[str], list[str]]]:
        """Pieces and tags of each example, without the special pieces around it, cut to the longest row."""
        features = self.task.encode(examples, self.tokenizer, self._seq_len, legacy=True)
        logits = predict_logits(self._predict, features, batch_size=self._batch_size, pad_id=self.tokenizer.pad_id)
        before, after = len(self.tokenizer.start_ids), len(self.tokenizer.end_ids)
        tags = self.task.piece_tags([values.argmax(axis=-1) for values in logits])
        for number, row in enumerate(tags):
            real = int(features.row(number)["attention_mask"].sum()) - after
            ids = features.row(number)["input_ids"][before:real]
            yield self.tokenizer.tokens(ids.tolist()), row[before:real]


def load_predictor(
    model_dir: str,
    *,
    weights: str = artefacts.STUDENT_WEIGHTS,
    batch_size: int = 32,
    tokenizer: str | None = None,
) -> Predictor:
    """A `Predictor` for the student of a model folder.

    Args:
        tokenizer: folder or hub name, for folders of the original release, which hold none.

    Raises:
        InputError: the folder cannot be used.
    """
    saved = artefacts.read_config(model_dir)
    student = restore_student(model_dir, weights)
    loaded = load_tokenizer(model_dir, saved, tokenizer)
    return Predictor(student.model, restore_task(saved), loaded, saved["seq_len"], batch_size)


def predict_command(config: PredictConfig) -> None:
    """`run_xtreme_distil_predict.py`: scores the test file and/or labels a file."""
    set_precision(config.opt_policy)
    predictor = load_predictor(
        config.model_dir, weights=config.weights, batch_size=config.batch_size, tokenizer=config.pt_teacher_checkpoint
    )
    if config.do_eval:
        metrics = evaluate_folder(config, predictor)
        artefacts.write_json(os.path.join(config.model_dir, artefacts.METRICS), metrics)
        print(json.dumps(metrics, indent=2, ensure_ascii=False))
    if config.do_predict:
        path = predict_file(config, predictor)
        print(f"predictions are in {path}")


def evaluate_folder(config: PredictConfig, predictor: Predictor) -> dict:
    """Metrics of the task's test file."""
    saved = artefacts.read_config(config.model_dir)
    if config.legacy and predictor.task.kind == "token_classification" and not predictor.task.pseudo_labels:
        raise InputError(
            f"--legacy: {config.model_dir} has no labels for word pieces, so it cannot have the original's score. "
            "Leave --legacy away, or distil with --legacy."
        )
    folder = config.task or saved["task"]
    task, tokenizer = predictor.task, predictor.tokenizer
    examples = task.read(os.path.join(folder, "test.tsv"), labelled=True)
    labelled = LabelledSet(examples, task.encode(examples, tokenizer, saved["seq_len"], legacy=config.legacy))
    scorer = Scorer(task, tokenizer.pad_id, config.batch_size, config.legacy)
    return scorer.metrics(predictor.predict_function, labelled)


def predict_file(config: PredictConfig, predictor: Predictor) -> str:
    """Labels `pred_file` block by block; one line out for each line in, in the same order; returns the path."""
    if config.legacy and predictor.task.kind == "token_classification":
        return _predict_pieces(config, predictor)
    as_json = config.output_format == "json"
    name = artefacts.JSON_PREDICTIONS if as_json else artefacts.PREDICTIONS
    path = os.path.join(config.model_dir, name)
    write = _json_line if as_json else _text_line
    with artefacts.atomic_file(path) as file:
        for examples in _blocks(predictor.task.read_prediction_lines(config.pred_file), LINES_AT_A_TIME):
            probabilities = predictor.example_probabilities(examples)
            labels = predictor.task.predict_labels(probabilities)
            for example, answer, chances in zip(examples, labels, probabilities, strict=True):
                file.write(write(predictor.task, example, answer, chances) + "\n")
    return path


def _predict_pieces(config: PredictConfig, predictor: Predictor) -> str:
    """The original's layout: word pieces, a tab, and a tag for each piece, pseudo-labels too; long lines are cut."""
    path = os.path.join(config.model_dir, artefacts.PREDICTIONS)
    with artefacts.atomic_file(path) as file:
        for block in _blocks(predictor.task.read_prediction_lines(config.pred_file), LINES_AT_A_TIME):
            for pieces, tags in predictor.piece_tags(block):
                file.write(f"{' '.join(pieces)}\t{' '.join(tags)}\n")
    return path


def _blocks(items: Iterable, size: int) -> Iterator[list]:
    iterator = iter(items)
    while block := list(islice(iterator, size)):
        yield block


def _text_line(task: Task, example, answer, chances) -> str:
    labels = " ".join(answer) if task.kind == "token_classification" else str(answer)
    return f"{task.text_of(example)}\t{labels}"


def _json_line(task: Task, example, answer, chances) -> str:
    """One object: the text, its label (or labels), and the probability of each label (of each word)."""
    tagging = task.kind == "token_classification"
    by_label = [
        dict(zip(task.labels, (round(float(p), 6) for p in row), strict=True)) for row in np.atleast_2d(chances)
    ]
    entry = {"text": task.text_of(example), "labels" if tagging else "label": answer}
    return json.dumps(entry | {"probabilities": by_label if tagging else by_label[0]}, ensure_ascii=False)
