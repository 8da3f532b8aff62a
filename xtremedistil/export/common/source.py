"""What every export starts from: the student of a folder, real rows, and what Keras says about them."""

import itertools
import os
from dataclasses import dataclass

import numpy as np

from xtremedistil.data.features import LabelledSet
from xtremedistil.data.padding import Arrays, longest, pad_rows
from xtremedistil.errors import InputError
from xtremedistil.models.forward import make_predict_function
from xtremedistil.models.prediction import PredictFunction, predict_logits
from xtremedistil.models.student import Student
from xtremedistil.models.student_folder import restore_student
from xtremedistil.storage import model_folder
from xtremedistil.tasks import Task, saved_task
from xtremedistil.tokenization.model_folder import load_tokenizer
from xtremedistil.tokenization.tokenizer import Tokenizer

MOST_ROWS = 2000
TIMED_ROWS = 200
BATCH_SIZE = 1  # of every comparison: what the ONNX predictor does by default, and int8 depends on batch mates


@dataclass(frozen=True)
class Source:
    """A student and the rows on which its exports have to agree with it.

    Fields:
        saved: `xtremedistil-config.json`.
        weights: name of its weight file in `model_dir`.
        rows: examples with their encoded rows, of the task's dev file (labelled) or of a text file.
        logits: of each row, by Keras in float32: [S, L] for tagging, [L] for classification.
    """

    model_dir: str
    saved: dict
    weights: str
    student: Student
    task: Task
    tokenizer: Tokenizer
    rows: LabelledSet
    logits: list[np.ndarray]

    @property
    def labelled(self) -> bool:
        return self.rows.features.labels is not None

    def score(self, logits: list[np.ndarray]) -> dict:
        """Metrics of the labelled rows."""
        examples = self.rows.examples
        probabilities = self.task.decode(self.rows.features, logits, examples)
        return self.task.score(examples, self.task.predict_labels(probabilities))

    def logits_of(self, predict: PredictFunction) -> list[np.ndarray]:
        """What another form of the student says about the rows, one row at a time."""
        return predict_logits(predict, self.rows.features, batch_size=BATCH_SIZE, pad_id=self.tokenizer.pad_id)

    def single_rows(self) -> list[Arrays]:
        """The first rows as batches of one, for timing."""
        features = self.rows.features
        numbers = np.arange(min(TIMED_ROWS, len(features)))[:, None]
        return [pad_rows(features, row, longest(features, row), self.tokenizer.pad_id) for row in numbers]


def open_source(
    model_dir: str,
    *,
    weights: str = model_folder.STUDENT_WEIGHTS,
    task: str | None = None,
    rows: str | None = None,
    tokenizer: str | None = None,
) -> Source:
    """Loads the student, encodes the rows and asks Keras about them.

    Args:
        task: task folder whose dev.tsv is read; by default the one the student was distilled on.
        rows: a text file to take instead, one example a line: then there are no labels to score.
        tokenizer: folder or hub name, for folders of the original release, which hold none.

    Raises:
        InputError: the folder, the task or the rows cannot be used.
    """
    saved = model_folder.read_config(model_dir)
    kind = saved_task(saved)
    loaded = load_tokenizer(model_dir, saved, tokenizer)
    examples = _examples(kind, task or saved["task"], rows)
    features = kind.encode(examples, loaded, saved["seq_len"])
    student = restore_student(model_dir, weights)
    predict = make_predict_function(student.model)
    logits = predict_logits(predict, features, batch_size=BATCH_SIZE, pad_id=loaded.pad_id)
    if not all(np.isfinite(row).all() for row in logits):
        raise InputError(
            f"The student in {os.path.join(model_dir, weights)} answers with infinite numbers or with none (NaN): its "
            "training went wrong. Train it again, with a lower `learning_rate`."
        )
    return Source(model_dir, saved, weights, student, kind, loaded, LabelledSet(examples, features), logits)


def _examples(task: Task, folder: str, rows: str | None) -> list:
    if rows:
        filled = (example for example in task.read_prediction_lines(rows) if task.text_of(example).strip())
        found = list(itertools.islice(filled, MOST_ROWS))
    elif os.path.isdir(folder):
        found = task.read(os.path.join(folder, "dev.tsv"), labelled=True)
    else:
        raise InputError(
            f"The task folder {folder} is not there, and an export is compared with the student on real rows.\n"
            "Name it with `task`, or give a file with a text on each line with `rows`."
        )
    if not found:
        raise InputError(f"{rows or folder} holds no rows to compare the export on.")
    return found[:MOST_ROWS]
