"""Looks up the sub-layers that matches and stages name, before any model is loaded or fine-tuned."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from xtremedistil.data.padding import INPUT_NAMES
from xtremedistil.distillation.planning.plan import DistillationPlan
from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import AUTO, BILSTM, FAMILIES, Family, find_family
from xtremedistil.models.checkpoints.pretrained import encoder_without_weights, read_config
from xtremedistil.models.features.extraction import encoder_features
from xtremedistil.models.features.sub_layers import find_sub_layer
from xtremedistil.terms.match import PATH, Match

FEW_WORDS = 64  # vocabulary size of an encoder that is only looked at


def require_paths(plan: DistillationPlan) -> None:
    """Looks for the sub-layers that matches and a caller's stages name, in encoders without weights.

    Raises:
        InputError: teacher or student has no such sub-layer; the message names similar paths.
    """
    if matches := _by_path(plan.terms.matches):
        for side, (encoder, _) in _encoders(plan).items():
            for path in _paths(matches, side):
                try:
                    find_sub_layer(encoder, path)
                except InputError as error:
                    raise InputError(f"`match`, {side}: {error}") from error
    if plan.own_stages:
        _require_unfrozen(plan)


def _require_unfrozen(plan: DistillationPlan) -> None:
    """Checks that stages train blocks of the student or sub-layers of its encoder."""
    encoder, _ = _student(plan)
    paths = [(stage.number, name) for stage in plan.stages for name in stage.unfrozen if name not in plan.blocks]
    for number, path in paths:
        try:
            find_sub_layer(encoder, path)
        except InputError as error:
            known = ", ".join(plan.blocks)
            raise InputError(f"stages: stage {number}: {path} is no block ({known}), and {error}") from error


def path_widths(plan: DistillationPlan) -> dict[str, tuple[int, int]]:
    """Returns the widths of the teacher's and the student's tensor of each match by path, by the match's name.

    The encoders run once, with random weights and a small vocabulary: only running a layer tells its output's width.

    Raises:
        InputError: as `require_paths`.
    """
    require_paths(plan)
    matches = _by_path(plan.terms.matches)
    sides = _encoders(plan) if matches else {}
    found = {side: _widths(*encoder, _paths(matches, side)) for side, encoder in sides.items()}
    return {
        match.name: (found["teacher"][match.teacher_names[-1]], found["student"][match.student_names[-1]])
        for match in matches
    }


def _widths(encoder, family: Family, paths: Sequence[str]) -> Mapping[str, int]:
    row = {name: tf.ones([1, 2], tf.int32) for name in INPUT_NAMES}
    row["token_type_ids"] = tf.zeros([1, 2], tf.int32)
    return {path: tensor.shape[-1] for path, tensor in encoder_features(encoder, family, row, paths).items()}


def _by_path(matches: Sequence[Match]) -> list[Match]:
    return [match for match in matches if match.feature == PATH]


def _paths(matches: Sequence[Match], side: str) -> list[str]:
    return [path for match in matches for path in getattr(match, f"{side}_names")]


def _encoders(plan: DistillationPlan) -> dict[str, tuple]:
    """Returns encoder and family of teacher and student."""
    saved = read_config(plan.teacher.checkpoint)
    return {
        "teacher": _encoder(saved, find_family(plan.teacher.class_name, saved["model_type"])),
        "student": _student(plan),
    }


def _encoder(saved: dict, family: Family) -> tuple:
    return encoder_without_weights(saved | {"vocab_size": FEW_WORDS}, family), family


def _student(plan: DistillationPlan) -> tuple:
    """Returns an encoder of the student's sizes, and its family."""
    student, shape = plan.student, plan.student.shape
    if student.is_bilstm:
        names = ("num_hidden_layers", "lstm_units", "embedding_size")
        return _encoder({name: getattr(shape, name) for name in names}, BILSTM)
    if student.checkpoint:
        saved = read_config(student.checkpoint)
        return _encoder(saved, find_family(AUTO, saved["model_type"]))
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    return _encoder({name: getattr(shape, name) for name in names}, FAMILIES["TFBertModel"])
