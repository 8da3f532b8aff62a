"""Flags as fields of a command's dataclass, and those that all commands that train have in common."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from xtremedistil.errors import InputError

REQUIRED = dataclasses.MISSING


def flag(default, help: str, *, choices: tuple[str, ...] | None = None, aliases: tuple[str, ...] = ()):
    """A field with its sentence for `--help`; `REQUIRED` for one that has to be given.

    A bool that is True by default is switched off by `--no_` and its name, which is what its sentence is of.

    Args:
        aliases: earlier names of the flag. They work for ever: on the command line, as keywords of the dataclass and
            as keys of saved settings.
    """
    return field(default=default, metadata={"help": help, "choices": choices, "aliases": aliases})


def old_names(kind) -> dict[str, str]:
    """Earlier names of the flags of a command's dataclass, each with the name that it has now."""
    return {alias: entry.name for entry in dataclasses.fields(kind) for alias in entry.metadata.get("aliases", ())}


def current_names(renamed: Mapping[str, str], values: Mapping) -> dict:
    """`values` by the names that their flags have now.

    Args:
        renamed: old names, each with the name now, as `old_names` gives them.

    Raises:
        InputError: a value stands there by both of its names, and the two differ.
    """
    current = {name: value for name, value in values.items() if name not in renamed}
    for old, new in renamed.items():
        if old not in values:
            continue
        if new in current and current[new] != values[old]:
            raise InputError(
                f"{old} is the old name of {new}, and both are given: {values[old]} and {current[new]}. "
                f"Give {new} alone."
            )
        current[new] = values[old]
    return current


def takes_old_names(kind):
    """Decorates a command's dataclass: its keywords may be old names of its flags."""
    plain = kind.__init__

    @functools.wraps(plain)
    def __init__(self, **values):
        plain(self, **current_names(old_names(kind), values))

    kind.__init__ = __init__
    return kind


def given_flags(config, names: Iterable[str]) -> list[str]:
    """Those of `names` that have another value than by default, which somebody must have given."""
    defaults = {entry.name: entry.default for entry in dataclasses.fields(config)}
    return [name for name in names if getattr(config, name) != defaults[name]]


@dataclass(kw_only=True)
class TrainingFlags:
    """How steps are made, seeded, saved and put on devices."""

    lr_schedule: str = flag(
        "linear", "shape of the rate's decay at the end of a fit", choices=("linear", "cosine", "constant")
    )
    max_grad_norm: float = flag(1.0, "longest gradient; 0 switches clipping off")
    weight_decay: float = flag(0.0, "share of each weight, times the rate, that a step takes off (AdamW)")
    gradient_accumulation_steps: int = flag(1, "batches that make one step, as one batch of all their rows would")
    jit_compile: bool = flag(False, "compile training steps with XLA, once for each shape of a batch")
    seed: int | None = flag(None, "seed of everything random; by default PYTHONHASHSEED, else 42")
    save_steps: int = flag(0, "save where training is after every so many steps; 0: by time only")
    save_minutes: float = flag(5.0, "save where training is after so many minutes; 0: not by time")
    strategy: str = flag(
        "auto", "which devices train", choices=("auto", "one_device", "mirrored", "multi_worker", "tpu")
    )
    tpu: str | None = flag(None, "name or address of the TPU, with --strategy tpu")
    verbose: bool = flag(False, "keep the messages of TensorFlow and transformers")


LEGACY_LEARNING_RATE = 3e-5

DEFAULT_SEED = 42


def rate_or_auto(text: str):
    """Reads a learning rate: `auto` or a number above 0."""
    if text == "auto":
        return text
    rate = float(text)
    if not rate > 0:
        raise ValueError(text)
    return rate


def resolve_seed(seed: int | None) -> int:
    """The seed given, else PYTHONHASHSEED as the original read it, else 42."""
    if seed is not None:
        return seed
    inherited = os.environ.get("PYTHONHASHSEED", "")
    return int(inherited) if inherited.isdigit() else DEFAULT_SEED
