"""Paths of sub-layers in matches and stages, looked up before any model is loaded or tuned."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from xtremedistil.data.padding import INPUT_NAMES
from xtremedistil.distillation.planning.config import DistilConfig
from xtremedistil.distillation.planning.model_shapes import student_blocks
from xtremedistil.distillation.planning.stages import Stage
from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import AUTO, BILSTM, FAMILIES, Family, find_family
from xtremedistil.models.checkpoints.pretrained import encoder_without_weights, read_config
from xtremedistil.models.features.extraction import encoder_features
from xtremedistil.models.features.sub_layers import find_sub_layer
from xtremedistil.terms.match import PATH, Match
from xtremedistil.terms.match_parsing import read_matches

FEW_WORDS = 64  # of an encoder whose words do not matter


def require_paths(config: DistilConfig) -> None:
    """Looks for the sub-layers that `--match` names in encoders without weights.

    Args:
        config: settled by `config.resolve`.

    Raises:
        InputError: teacher or student has no such sub-layer; the message has the nearest paths.
    """
    matches = _by_path(read_matches(config.match))
    if not matches:
        return
    for side, (encoder, _) in _encoders(config).items():
        for path in _paths(matches, side):
            try:
                find_sub_layer(encoder, path)
            except InputError as error:
                raise InputError(f"--match, {side}: {error}") from error


def require_unfrozen(config: DistilConfig, stages: Sequence[Stage]) -> None:
    """Looks for what stages train: blocks that the student has, and sub-layers of its encoder.

    Raises:
        InputError: it has no such block or sub-layer.
    """
    blocks, (encoder, _) = student_blocks(config), _student(config)
    paths = [(stage.number, name) for stage in stages for name in stage.unfrozen if name not in blocks]
    for number, path in paths:
        try:
            find_sub_layer(encoder, path)
        except InputError as error:
            known = ", ".join(blocks)
            raise InputError(f"stages: stage {number}: {path} is no block ({known}), and {error}") from error


def path_widths(config: DistilConfig, matches: Sequence[Match]) -> dict[str, tuple[int, int]]:
    """How wide the teacher's and the student's tensor of each match by path are, by the match's name.

    The encoders run once, with random weights and few words: only a layer itself knows what it gives.

    Raises:
        InputError: as `require_paths`.
    """
    require_paths(config)
    matches = _by_path(matches)
    sides = _encoders(config) if matches else {}
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


def _encoders(config: DistilConfig) -> dict[str, tuple]:
    """Encoder and family of both sides."""
    saved = read_config(config.pt_teacher_checkpoint)
    return {
        "teacher": _encoder(saved, find_family(config.pt_teacher, saved["model_type"])),
        "student": _student(config),
    }


def _encoder(saved: dict, family: Family) -> tuple:
    return encoder_without_weights(saved | {"vocab_size": FEW_WORDS}, family), family


def _student(config: DistilConfig) -> tuple:
    """Of the sizes that the run's student will have."""
    if config.student_kind == "bilstm":
        sizes = {name: getattr(config, name) for name in ("num_hidden_layers", "lstm_units")}
        return _encoder(sizes | {"embedding_size": config.hidden_size}, BILSTM)
    if config.pt_student_checkpoint:
        saved = read_config(config.pt_student_checkpoint)
        return _encoder(saved, find_family(AUTO, saved["model_type"]))
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    return _encoder({name: getattr(config, name) for name in names}, FAMILIES["TFBertModel"])
