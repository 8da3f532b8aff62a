"""Flags as fields of a command's dataclass, and those that all commands that train have in common."""

import dataclasses
import difflib
import functools
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from xtremedistil.errors import InputError

REQUIRED = dataclasses.MISSING
ACCEPT_WEIGHTS = "accept_weights"

# Groups of flags, in the order in which `--help` shows them.
DATA, TEACHER, STUDENT, LEARNT, TRAINING, OUTPUTS, DEVICES, RUN = GROUPS = (
    "task and data",
    "teacher",
    "student",
    "what is learnt",
    "training",
    "teacher outputs and disk",
    "devices and precision",
    "run",
)


def flag(
    default,
    help: str,
    *,
    group: str = RUN,
    choices: tuple[str, ...] | None = None,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    aliases: tuple[str, ...] = (),
    original: bool = False,
    left_out: bool = False,
):
    """A field with its sentence for `--help`; `REQUIRED` for one that has to be given.

    A bool that is True by default is switched off by `--no_` and its name, which is what its sentence is of.

    Args:
        group: one of `GROUPS`, under which `--help` shows the flag.
        least, most: ends of the range of a number, which belong to it. above, below: ends that do not.
        aliases: earlier names of the flag. They work for ever: on the command line, as keywords of the dataclass and
            as keys of saved settings.
        original: whether the original release has it. Such a flag may stand without its value, as if not given.
        left_out: files have it only with another value than its default, so that they stay as they were before there
            was such a flag.
    """
    metadata = {"help": help, "group": group, "choices": choices, "aliases": aliases, "original": original}
    metadata |= {"least": least, "most": most, "above": above, "below": below}
    return field(default=default, metadata=metadata | {"left_out": left_out})


def accept_weights_flag():
    """The flag by which a command takes files that are not as they were written."""
    return flag(False, "use model files that were changed on purpose: skip their checksums (checksums.json)", group=RUN)


def saved_flags(config) -> dict:
    """The values of a command's dataclass by name, as files have them; of what is given for one call, nothing."""
    values = {name: value for name, value in dataclasses.asdict(config).items() if name != ACCEPT_WEIGHTS}
    unsaid = [entry.name for entry in dataclasses.fields(config) if entry.metadata.get("left_out")]
    given = given_flags(config, unsaid)
    return {name: value for name, value in values.items() if name not in unsaid or name in given}


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


def nearest(name: str, known: Collection[str]) -> list[str]:
    """Those of `known` that `name` is a part of, else those that are spelled like it."""
    parts, letters = set(name.split("_")), name.replace("_", "")

    def holds(other: str) -> bool:
        return parts <= set(other.split("_")) or (len(letters) > 2 and letters in other.replace("_", ""))

    return [other for other in known if holds(other)] or difflib.get_close_matches(name, known, cutoff=0.7)


MOST_NAMED = 4  # in one question


def did_you_mean(names: Iterable[str]) -> str:
    """A question that names the first of `names`; nothing where there are none."""
    named = list(names)[:MOST_NAMED]
    return f"; did you mean {', '.join(named)}?" if named else ""


def takes_old_names(kind):
    """Decorates a command's dataclass: its keywords may be old names of its flags; one that is neither is refused with
    the nearest."""
    plain = kind.__init__

    @functools.wraps(plain)
    def __init__(self, **values):
        values, known = current_names(old_names(kind), values), [entry.name for entry in dataclasses.fields(kind)]
        for name in values:
            if name not in known:
                raise TypeError(f"{kind.__name__} has no field {name}{did_you_mean(nearest(name, known))}")
        plain(self, **values)

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
        "linear",
        "how the learning rate decays",
        group=TRAINING,
        choices=("linear", "cosine", "constant"),
    )
    max_grad_norm: float = flag(1.0, "clip gradients to this norm; 0: no clipping", group=TRAINING, least=0)
    weight_decay: float = flag(0.0, "weight decay of AdamW", group=TRAINING, least=0)
    gradient_accumulation_steps: int = flag(
        1, "batches that are accumulated for one training step", group=TRAINING, least=1
    )
    jit_compile: bool = flag(False, "compile training steps with XLA, once for each batch shape", group=DEVICES)
    seed: int | None = flag(
        None, "random seed; by default the environment variable PYTHONHASHSEED, else 42", group=RUN, least=0
    )
    save_steps: int = flag(0, "save a snapshot every so many training steps; 0: by time only", group=RUN, least=0)
    save_minutes: float = flag(
        5.0, "save a snapshot every so many minutes of training; 0: not by time", group=RUN, least=0
    )
    strategy: str = flag(
        "auto",
        "devices to train on; auto: all GPUs of this machine if there are several, else one device",
        group=DEVICES,
        choices=("auto", "one_device", "mirrored", "multi_worker", "tpu"),
    )
    tpu: str | None = flag(None, "name or address of the TPU, with --strategy tpu", group=DEVICES)
    accept_weights: bool = accept_weights_flag()
    verbose: bool = flag(False, "show the messages of TensorFlow and transformers", group=RUN)


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
    return int(inherited) if inherited.isascii() and inherited.isdigit() else DEFAULT_SEED
