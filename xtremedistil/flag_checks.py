"""Contradictions between flags, files and checkpoints, found before any model is loaded and reported together."""

import json
import os

from xtremedistil.errors import Problems
from xtremedistil.models.architectures.families import Family, find_family
from xtremedistil.models.architectures.shapes import EncoderShape, encoder_shape
from xtremedistil.models.checkpoints.pretrained import read_config


def open_checkpoint(
    problems: Problems, flag: str, source: str, class_name: str
) -> tuple[Family | None, EncoderShape | None]:
    saved = problems.attempt(read_config, source)
    family = problems.attempt(find_family, class_name, saved and saved["model_type"])
    if saved is None or family is None:
        return None, None
    return family, problems.attempt(encoder_shape, saved, f"{flag} {source}")


def _is_cluster(text: str) -> bool:
    """Whether it says which workers there are, and which of them this is."""
    try:
        found = json.loads(text)
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
