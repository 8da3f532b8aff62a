"""Caches the hidden states of the student's encoder for stages in which it is frozen."""

import dataclasses
import functools
import hashlib
import os
import shutil

import numpy as np
import tensorflow as tf

from xtremedistil.data.features import Features, LabelledSet
from xtremedistil.distillation.pipeline.run_context import RunContext
from xtremedistil.distillation.pipeline.student import InitialStudent
from xtremedistil.distillation.planning.stages import Stage
from xtremedistil.distillation.teacher_outputs.cache import CachedOutputs, cached_outputs
from xtremedistil.models.forward import make_predict_function
from xtremedistil.models.prediction import PredictFunction
from xtremedistil.models.student import STATE, Student
from xtremedistil.storage.model_folder import FROZEN_FEATURES
from xtremedistil.training.workers import Workers

POSITIONS_AT_A_TIME = 65_536
KEY_DIGITS = 12  # 48 bits


class FrozenFeatures:
    """Hidden states of the frozen encoder, on disk below the model folder; those of earlier weights are removed.

    Fields:
        model: the layers above the encoder, for training: takes {"state"}, returns {"logits"}.
    """

    def __init__(self, run: RunContext, student: Student):
        self._run, self._student = run, student
        self._key = _agreed(run.workers, _fingerprint(student))
        self._root, width = run.path(FROZEN_FEATURES), student.encoder.config.hidden_size
        self._dev: CachedOutputs | None = None
        with run.strategy.scope():
            self.model = student.head_model()
        self._apply = tf.function(
            lambda state: self.model({STATE: state}, training=False)["logits"],
            input_signature=[tf.TensorSpec([None] * (self.model.input[STATE].shape.rank - 1) + [width], tf.float32)],
        )
        run.workers.on_chief(self._forget_others)

    def of(self, rows: Features, name: str) -> CachedOutputs:
        """Returns the hidden states of `rows`, computed once and kept on disk under `name`."""
        states = cached_outputs(
            lambda names: self._states_of,
            rows,
            [STATE],
            self._folder(name),
            key=f"encoder {self._key}, rows {rows.fingerprint()}",
            how=self._run.output_writer(f"student's hidden states ({name})"),
        )
        return dataclasses.replace(states, prefix="")

    @functools.cached_property
    def _states_of(self) -> PredictFunction:
        return make_predict_function(self._student.state_model())

    def score(self, dev: LabelledSet) -> float:
        """Returns the task's metric on the dev set, 0 to 1, with the current projection and head."""
        self._dev = self._dev or self.of(dev.features, "dev")
        metrics = self._run.scorer.metrics_of(self._logits(self._dev), dev)
        return metrics[metrics["primary"]]

    def _logits(self, states: CachedOutputs) -> list[np.ndarray]:
        """Returns logits by row, without padding; the layers above the encoder treat each row, or token, alone."""
        array, extra = states.arrays[STATE], () if states.by_row else (None,)
        blocks = np.array_split(array, -(-len(array) // POSITIONS_AT_A_TIME))
        logits = [self._apply(tf.constant(block.astype(np.float32)[(*extra,)])).numpy() for block in blocks]
        if states.by_row:
            return list(np.concatenate(logits))
        return np.split(np.concatenate(logits, axis=1)[0], states.features.offsets[1:-1])

    def forget(self, name: str) -> None:
        """Removes the hidden states kept under `name`."""
        self._run.workers.on_chief(lambda: shutil.rmtree(self._folder(name), ignore_errors=True))

    def _folder(self, name: str) -> str:
        return os.path.join(self._root, self._key, name)

    def _forget_others(self) -> None:
        for key in os.listdir(self._root) if os.path.isdir(self._root) else []:
            if key != self._key:
                shutil.rmtree(os.path.join(self._root, key), ignore_errors=True)


def frozen_features(run: RunContext, initial: InitialStudent, stage: Stage) -> FrozenFeatures | None:
    """Returns cached hidden states for a stage with a frozen encoder; None if the encoder runs in every step."""
    if stage.trains_encoder or not run.plan.outputs.frozen_features:
        return None
    return FrozenFeatures(run, initial.student)


def _agreed(workers: Workers, fingerprint: str) -> str:
    """The chief's fingerprint for all workers, shortened to fit a number: other workers may round weights otherwise."""
    return f"{int(workers.broadcast_from_chief(int(fingerprint[:KEY_DIGITS], 16))):0{KEY_DIGITS}x}"


def _fingerprint(student: Student) -> str:
    """Returns the sha256 of the encoder's weights."""
    digest = hashlib.sha256()
    for variable in student.encoder.weights:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()
