"""Contradictions between flags, files and checkpoints, found before any model is loaded and reported together."""

import dataclasses
import json
import math
import os
from collections.abc import Sequence

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


LARGEST_SEED = 2**32  # what NumPy and TensorFlow take

AT_LEAST_ONE = (
    "hidden_size num_attention_heads num_hidden_layers intermediate_size student_distil_batch_size "
    "student_ft_batch_size teacher_batch_size batch_size ft_epochs teacher_epochs distil_epochs distil_chunk_size "
    "patience decay_epochs gradient_accumulation_steps augment_copies lstm_units relation_heads teacher_head_steps "
    "student_vocab_min_count"
).split()


def too_small(config, names: Sequence[str]) -> list[str]:
    """Lines on numbers below 1, of those of `names` that a command has."""
    values = {name: getattr(config, name, None) for name in names}
    small = {name: value for name, value in values.items() if value is not None and value < 1}
    return [f"`{name}` {value}: must be at least 1" for name, value in small.items()]


def number_problems(config) -> list[str]:
    """Of the numbers that the training commands share."""
    problems = too_small(config, AT_LEAST_ONE)
    if getattr(config, "seq_len", 3) < 3:
        problems.append(f"`seq_len` {config.seq_len}: must be at least 3 (two special tokens and a piece)")
    problems += not_finite(config)
    if config.seed is not None and not 0 <= config.seed < LARGEST_SEED:
        problems.append(f"`seed` {config.seed}: must be from 0 to {LARGEST_SEED - 1}")
    for name in ("save_steps", "save_minutes"):
        if getattr(config, name) < 0:
            problems.append(f"`{name}` {getattr(config, name)}: must not be negative")
    if not 0 <= config.warmup_ratio <= 1:
        problems.append(f"`warmup_ratio` {config.warmup_ratio}: must be from 0 to 1")
    for name in ("max_grad_norm", "weight_decay", "hidden_weight", "embedding_weight", "attention_weight"):
        if getattr(config, name, 0) < 0:
            problems.append(f"`{name}` {getattr(config, name)}: must not be negative")
    return problems


def not_finite(config) -> list[str]:
    values = dataclasses.asdict(config)
    return [
        f"`{name}` {value}: must be a finite number"
        for name, value in values.items()
        if isinstance(value, float) and not math.isfinite(value)
    ]


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
        return [f"`seq_len` {seq_len}: {checkpoint} has positions for {shape.positions} pieces; use at most that"]
    return []
