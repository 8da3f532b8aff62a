"""Paths of sub-layers in matches, looked up before any model is loaded or tuned."""

from collections.abc import Sequence

from xtremedistil.config import DistilConfig
from xtremedistil.distillation.match import PATH, Match
from xtremedistil.distillation.match_text import read_matches
from xtremedistil.errors import InputError
from xtremedistil.models.checkpoints import encoder_without_weights, read_config
from xtremedistil.models.families import AUTO, BILSTM, FAMILIES, find_family
from xtremedistil.models.sub_layers import find_sub_layer


def require_paths(config: DistilConfig) -> None:
    """Looks for the sub-layers that `--match` names in encoders without weights.

    Args:
        config: settled by `config.resolve`.

    Raises:
        InputError: teacher or student has no such sub-layer; the message has the nearest paths.
    """
    matches = [match for match in read_matches(config.match) if match.feature == PATH]
    if not matches:
        return
    for side, encoder in (("teacher", _teacher(config)), ("student", _student(config))):
        for path in _paths(matches, side):
            try:
                find_sub_layer(encoder, path)
            except InputError as error:
                raise InputError(f"--match, {side}: {error}") from error


def _paths(matches: Sequence[Match], side: str) -> list[str]:
    return [path for match in matches for path in getattr(match, f"{side}_names")]


def _teacher(config: DistilConfig):
    saved = read_config(config.pt_teacher_checkpoint)
    return encoder_without_weights(saved, find_family(config.pt_teacher, saved["model_type"]))


def _student(config: DistilConfig):
    """Of the layers that the run's student will have; sizes change no path."""
    if config.student_kind == "bilstm":
        names = ("num_hidden_layers", "lstm_units")
        sizes = {name: getattr(config, name) for name in names} | {"vocab_size": 1, "embedding_size": 1}
        return encoder_without_weights(sizes, BILSTM)
    if config.pt_student_checkpoint:
        saved = read_config(config.pt_student_checkpoint)
        return encoder_without_weights(saved, find_family(AUTO, saved["model_type"]))
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    return encoder_without_weights({name: getattr(config, name) for name in names}, FAMILIES["TFBertModel"])
