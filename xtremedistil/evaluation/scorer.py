"""Scores a model on labelled rows, and measures its speed and size."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil.data.features import Features, LabelledSet
from xtremedistil.evaluation.report import ReportRow
from xtremedistil.metrics import token_scores
from xtremedistil.models.prediction import PredictFunction, predict_logits
from xtremedistil.tasks import Task

TIMED_ROWS = 200


@dataclass(frozen=True)
class Scorer:
    """Scores logits against gold labels.

    Fields:
        batch_size: rows per batch if they are long; batches of short rows have more.
        by_token: score tags as the original release does, by chunk F1 over tokens instead of words.
    """

    task: Task
    pad_id: int
    batch_size: int
    by_token: bool = False

    @property
    def metric_note(self) -> str:
        """What the main metric counts."""
        if self.by_token and self.task.by_position:
            return "f1: chunks of token labels, as the original release counts them"
        return self.task.metric_note

    def metrics(self, predict: PredictFunction, labelled: LabelledSet) -> dict:
        """Returns all metrics of the task, 0 to 1, and under "primary" the name of the main one."""
        logits = predict_logits(predict, labelled.features, batch_size=self.batch_size, pad_id=self.pad_id, fill=True)
        return self.metrics_of(logits, labelled)

    def metrics_of(self, logits: Sequence[np.ndarray], labelled: LabelledSet) -> dict:
        """Like `metrics`, from the logits of each row: float32 [S, L] for tagging, [L] for classification."""
        features, examples = labelled.features, labelled.examples
        if self.by_token and self.task.by_position:
            return self._token_scores(features, logits)
        probabilities = self.task.decode(features, logits, examples)
        return self.task.score(examples, self.task.predict_labels(probabilities))

    def _token_scores(self, features, logits) -> dict:
        gold = [
            features.labels[start:stop] for start, stop in zip(features.offsets, features.offsets[1:], strict=False)
        ]
        predicted = [values.argmax(axis=-1) for values in logits]
        pad, _, end, start = self.task.pseudo_labels
        return token_scores(self.task.token_tags(gold), self.task.token_tags(predicted), (pad, end, start))

    def primary(self, predict: PredictFunction, labelled: LabelledSet) -> float:
        metrics = self.metrics(predict, labelled)
        return metrics[metrics["primary"]]


def scored_row(
    name: str, predict: PredictFunction, parts: dict, scorer: Scorer, dev: LabelledSet | float, test: LabelledSet
) -> tuple[ReportRow, dict]:
    """Returns a model's row of the report, and all its metrics on test; only this function scores the test set.

    Args:
        parts: its variables by layer, to count parameters.
        dev: the dev set, or the dev score if it is known.
    """
    metrics = scorer.metrics(predict, test)
    primary = metrics["primary"]
    speed = milliseconds_per_row(predict, test.features, scorer.pad_id)
    dev_score = dev if isinstance(dev, float) else scorer.primary(predict, dev)
    return ReportRow(name, parameter_count(parts), primary, dev_score, metrics[primary], speed), metrics


def milliseconds_per_row(predict: PredictFunction, features: Features, pad_id: int) -> float:
    """Returns the median time per row, one row at a time after a warm-up, in milliseconds."""
    rows = features.take(np.arange(min(TIMED_ROWS, len(features))))
    times = []
    for number in range(len(rows)):
        row = rows.take(np.array([number]))
        started = time.perf_counter()
        predict_logits(predict, row, batch_size=1, pad_id=pad_id)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times[len(times) // 10 :]))


def parameter_count(parts: dict) -> int:
    """Counts the parameters in the parts of a weight file."""
    return sum(int(np.prod(variable.shape)) for variables in parts.values() for variable in variables)
