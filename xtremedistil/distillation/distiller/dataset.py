"""Rows and the outputs of several teachers for them, computed once, kept on disk and read in batches."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xtremedistil.data.features import Features
from xtremedistil.distillation.data.corpus import KEY_LETTERS
from xtremedistil.distillation.data.encoded_inputs import encoded_rows
from xtremedistil.distillation.distiller.logits_mask import logits_masks
from xtremedistil.distillation.distiller.row_checks import check_rows
from xtremedistil.distillation.teacher_outputs.cache import CachedOutputs, cached_outputs
from xtremedistil.distillation.teacher_outputs.cache_writer import OutputWriterConfig
from xtremedistil.distillation.teacher_outputs.word_alignment import aligned_outputs, require_same_rows
from xtremedistil.models.adapters import AdaptedModel, TaskModel
from xtremedistil.models.student import Student
from xtremedistil.models.teacher import Teacher
from xtremedistil.objectives.position_masks import target_prefix

TARGETS = "teacher-targets"


@dataclass(frozen=True)
class TeacherOutputs:
    """A teacher, and the names of its outputs that are used."""

    teacher: TaskModel | AdaptedModel | Teacher
    names: Sequence[str]


class DistillationDataset:
    """Reads rows, and the outputs of the active teachers for them."""

    def __init__(
        self,
        student: TaskModel | AdaptedModel | Student,
        teachers: Mapping[int, TeacherOutputs],
        folder: str,
        how: OutputWriterConfig,
    ):
        self._student, self._teachers, self._folder, self._how = student, teachers, folder, how
        self._keys = {number: _fingerprint(one.teacher) for number, one in teachers.items()}
        self._seen: list[str] = []

    @property
    def key(self) -> str:
        """Names the teachers, the precision of their outputs, and all rows that were read or seen."""
        return "|".join([*self._keys.values(), self._how.precision, *self._seen])

    def see(self, features: Features) -> None:
        """Adds rows to the key for which no teacher outputs are computed."""
        self._seen.append(_rows_key(features, None))

    def read(
        self, name: str, rows, of_teachers: Mapping[int, object], most: int | None = None
    ) -> tuple[Features, list, list]:
        """Returns the student's rows, the outputs of each teacher that is used, and masks of the tokens that count
        (those of `logits_mask`, and those aligned with another tokenizer's).

        Args:
            most: see `encoded_rows`.
        """
        how = {"by_position": self._student.by_position, "problem_type": self._student.problem_type}
        features, words = encoded_rows(rows, **how, most=most)
        check_rows(features, self._student, "the student")
        self._seen.append(_rows_key(features, words))
        targets: list = []
        masks: list = logits_masks([self._student, *self._readers_alike(of_teachers)], features)
        self._seen += [hashlib.sha256(mask.kept.tobytes()).hexdigest() for mask in masks]
        for number, outputs in self._teachers.items():
            if number in of_teachers:
                of_teacher = {"by_position": outputs.teacher.by_position, "problem_type": outputs.teacher.problem_type}
                theirs, their_words = encoded_rows(of_teachers[number], **of_teacher, most=most)
                self._seen.append(_rows_key(theirs, their_words))
                require_same_rows(features, theirs)
                check_rows(theirs, outputs.teacher, f"teacher {number}")
                readers, aligned = _with_other_tokens(features, self._of(number, name, theirs), words, their_words)
                targets, masks = targets + readers, masks + aligned
            elif outputs.names:
                check_rows(features, outputs.teacher, f"teacher {number}")
                targets.append(self._of(number, name, features))
        return features, targets, masks

    def _readers_alike(self, of_teachers: Mapping[int, object]) -> list:
        """Returns the teachers that read the student's rows.

        Raises:
            ValueError: a teacher with rows of its own has a logits_mask.
        """
        teachers = {number: outputs.teacher for number, outputs in self._teachers.items()}
        if masked := [number for number in of_teachers if number in teachers and teachers[number].mask_model]:
            raise ValueError(
                f"Teacher {masked[0]} has a logits_mask, but its tokens are not the student's. Return the mask from "
                "the student's adaptor."
            )
        return [teacher for number, teacher in teachers.items() if number not in of_teachers]

    def _of(self, number: int, name: str, features: Features) -> CachedOutputs:
        teacher, names = self._teachers[number].teacher, self._teachers[number].names
        key = f"{self._keys[number]}, rows {features.fingerprint()}"
        folder = os.path.join(self._folder, TARGETS, self._keys[number][:KEY_LETTERS], name)
        how = dataclasses.replace(self._how, pad_id=teacher.pad_id, exact=teacher.logit_names)
        targets = cached_outputs(teacher.feature_model, features, names, folder, key=key, how=how)
        return dataclasses.replace(targets, prefix=target_prefix(number))


def _with_other_tokens(
    features: Features, targets: CachedOutputs, words: np.ndarray | None, their_words: np.ndarray | None
) -> tuple[list, list]:
    """Returns outputs of a teacher with another tokenizer, those per row as they are and those per token aligned by
    words; and masks of the tokens that have outputs."""
    whole = [name for name in targets.arrays if targets.is_by_row(name)]
    others = [name for name in targets.arrays if name not in whole]
    aligned = [aligned_outputs(features, targets.select(others), words, their_words)] if others else []
    return [targets.select(whole)] * bool(whole) + aligned, [one.mask for one in aligned]


def _rows_key(features: Features, words: np.ndarray | None) -> str:
    """Returns the sha256 of rows, their labels and their words."""
    digest = hashlib.sha256(features.fingerprint().encode())
    for array in (features.labels, features.word_ids if words is None else words):
        digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _fingerprint(teacher: TaskModel | AdaptedModel | Teacher) -> str:
    """Returns the sha256 of a teacher's weights and of its outputs for one row, which depend on its adaptor too."""
    row = tf.constant([[1, 2, 3, 4]], tf.int32)
    inputs = {"input_ids": row, "attention_mask": tf.ones_like(row), "token_type_ids": tf.zeros_like(row)}
    model = teacher.feature_model(teacher.output_names) if isinstance(teacher, AdaptedModel) else teacher.model
    outputs = model({name: inputs[name] for name in model.input}, training=False)
    digest = hashlib.sha256()
    for value in [*teacher.weights, *(outputs[name] for name in sorted(outputs))]:
        digest.update(np.ascontiguousarray(value.numpy()).tobytes())
    return digest.hexdigest()
