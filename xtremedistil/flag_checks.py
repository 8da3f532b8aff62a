"""Contradictions between flags, files and checkpoints, found before any model is loaded and reported together."""

import os

from xtremedistil.errors import InputError, Problems
from xtremedistil.models.architectures.families import Family, find_family
from xtremedistil.models.architectures.shapes import EncoderShape, encoder_shape
from xtremedistil.models.checkpoints.pretrained import read_config
from xtremedistil.models.checkpoints.weight_headers import check_weight_file
from xtremedistil.storage.json_files import parse_json


def open_checkpoint(
    problems: Problems, flag: str, source: str, class_name: str, other_way: str = ""
) -> tuple[Family | None, EncoderShape | None]:
    """Returns family and sizes of a checkpoint; adds what is wrong with it to `problems`.

    Args:
        flag: that names it. other_way: what to do with a model of a family that TensorFlow has no class for.
    """

    def find() -> Family:
        try:
            return find_family(class_name, saved and saved["model_type"])
        except InputError as error:
            raise InputError(f"{error}{other_way}") from error

    saved = problems.attempt(read_config, source)
    family = problems.attempt(find)
    if saved is None or family is None:
        return None, None
    shape = problems.attempt(encoder_shape, saved, f"{flag} {source}")
    if shape and os.path.isdir(source):
        problems.attempt(check_weight_file, source, shape)
    return family, shape


def _is_cluster(text: str) -> bool:
    """Whether it says which workers there are, and which of them this is."""
    try:
        found = parse_json(text, "TF_CONFIG")
        addresses = found["cluster"][found["task"]["type"]]
        return isinstance(addresses, list) and 0 <= int(found["task"]["index"]) < len(addresses)
    except (ValueError, KeyError, TypeError):
        return False


def device_problems(config) -> list[str]:
    """Of devices, and of what they compute in."""
    problems = []
    if config.tpu and config.strategy != "tpu":
        problems.append(f"`tpu` {config.tpu} needs `strategy` tpu")
    if config.strategy == "multi_worker" and not _is_cluster(os.environ.get("TF_CONFIG", "")):
        problems.append(
            "`strategy` multi_worker needs the environment variable TF_CONFIG, JSON as in "
            '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
        )
    for name in ("opt_policy", "teacher_opt_policy"):
        if config.strategy == "tpu" and getattr(config, name, None) == "mixed_float16":
            problems.append(f"`{name}` mixed_float16: TPUs take bfloat16; give mixed_bfloat16")
    return problems


def length_problems(seq_len: int, shape: EncoderShape, checkpoint: str) -> list[str]:
    if shape.positions is not None and seq_len > shape.positions:
        return [f"`seq_len` {seq_len}: {checkpoint} has positions for {shape.positions} tokens; use at most that"]
    return []
