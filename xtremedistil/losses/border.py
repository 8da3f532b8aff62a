"""Checks the arguments of losses before any arithmetic; within a graph, as far as shapes are known there.

The functions of `losses.LOSSES` are wrapped in these checks where they are looked up by name.
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from xtremedistil.arguments import shown
from xtremedistil.losses.specs import LOGITS, LOSS_KINDS, MANY, MAPS, STATES, LossKind, require_options

as_written = tf.autograph.experimental.do_not_convert  # there is nothing for AutoGraph in them
AXES = {STATES: "[B, S, H]", MAPS: "[B, A, S, S] or [B, S, S]", LOGITS: "[B, L] or [B, S, L]"}
RANKS = {STATES: (3,), MAPS: (3, 4), LOGITS: (2, 3)}


def checked(name: str, loss: Callable) -> Callable:
    """Returns a loss of `LOSS_KINDS` with checks of its arguments.

    Raises, when it is called:
        ValueError: an argument is no tensor of numbers, of another rank or of sizes that do not fit, or an option is
            unknown or out of range.
    """
    kind = LOSS_KINDS[name]

    @functools.wraps(loss)
    def wrapped(*, teacher, student, mask=None, **options):
        pairs = _paired(name, kind, teacher, student)
        for one, other in pairs:
            _require_same_axes(name, kind, one, other)
        if mask is not None:
            _require_mask(name, kind, mask, pairs[0][1])
        require_options(name, *_settings(kind, options))
        return loss(teacher=teacher, student=student, mask=mask, **options)

    return wrapped


@as_written
def _settings(kind: LossKind, options: dict) -> tuple[dict, dict]:
    """Returns the options that can be checked here, and those that are known: a temperature may be a tensor."""
    tensors = {name for name, value in options.items() if name == "temperature" and not _is_one(value)}
    for name in tensors:
        numbers(name, options[name])
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in options.items()}
    given = {name: value for name, value in plain.items() if name not in tensors}
    return given, {name: option for name, option in kind.options.items() if name not in tensors}


def _is_one(temperature) -> bool:
    """Whether it is no tensor or array of temperatures."""
    return not (tf.is_tensor(temperature) or isinstance(temperature, (np.ndarray, list, tuple)))


@as_written
def _paired(name: str, kind: LossKind, teacher, student) -> list[tuple]:
    """Returns pairs of a teacher's and a student's tensor: one, or one for each layer."""
    if kind.layers == 1:
        return [(numbers(f"{name}: teacher", teacher), numbers(f"{name}: student", student))]
    wanted = "any number of layers" if kind.layers == MANY else "two layers"
    sides = {"teacher": teacher, "student": student}
    for side, layers in sides.items():
        if not isinstance(layers, (list, tuple)) or not layers or (kind.layers != MANY and len(layers) != kind.layers):
            raise ValueError(f"{name}: {side} is {shown(layers)}; this loss takes a tuple of {wanted}, {AXES[STATES]}.")
    found = {side: [numbers(f"{name}: {side}", one) for one in layers] for side, layers in sides.items()}
    if kind.layers == MANY:
        return [(one, other) for one in found["teacher"] for other in found["student"]]
    for side, (first, second) in found.items():
        ranks = first.shape.rank, second.shape.rank
        if None not in ranks and not first.shape[:-1].is_compatible_with(second.shape[:-1]):
            raise ValueError(f"{name}: the {side}'s layers have shapes {first.shape} and {second.shape}.")
        if name == "nst" and None not in ranks and not first.shape[-1:].is_compatible_with(second.shape[-1:]):
            raise ValueError(f"{name}: the {side}'s layers are {first.shape[-1]} and {second.shape[-1]} wide.")
    return list(zip(found["teacher"], found["student"], strict=True))


@as_written
def numbers(what: str, value, ranks: tuple[int, ...] | None = None, axes: str = "") -> tf.Tensor:
    """Returns a value as a tensor of numbers; raises ValueError if it is something else, or of another rank."""
    try:
        tensor = tf.convert_to_tensor(value)
    except (TypeError, ValueError, tf.errors.OpError) as error:
        raise ValueError(f"{what} is {shown(value)}; a tensor of numbers is expected.") from error
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool):
        raise ValueError(f"{what} is of type {tensor.dtype.name}; numbers are expected.")
    if ranks and tensor.shape.rank is not None and tensor.shape.rank not in ranks:
        raise ValueError(f"{what} has the shape {list(tensor.shape)}; {axes} is expected.")
    return tensor


@as_written
def require_fit(what: str, found, wanted) -> None:
    """Raises ValueError if a static shape is not another one."""
    if not tf.TensorShape(found).is_compatible_with(tf.TensorShape(wanted)):
        raise ValueError(f"{what} has the shape {list(found)}; {list(wanted)} is expected.")


@as_written
def _require_same_axes(name: str, kind: LossKind, teacher: tf.Tensor, student: tf.Tensor) -> None:
    """Raises ValueError for other ranks than the loss takes, and for other batches or lengths of the two."""
    ranks = (2, *RANKS[kind.compares]) if kind.takes_rows or name == "pkd" else RANKS[kind.compares]
    for side, tensor in (("teacher", teacher), ("student", student)):
        if tensor.shape.rank is not None and tensor.shape.rank not in ranks:
            rows = "[B, H] or " if ranks[0] == 2 and kind.compares == STATES else ""
            raise ValueError(f"{name}: {side} has shape {list(tensor.shape)}; {rows}{AXES[kind.compares]} is expected.")
    if teacher.shape.rank is None or student.shape.rank is None:
        return
    if kind.compares == MAPS:
        same = [(teacher.shape[at], student.shape[at]) for at in (0, -1, -2)]
    else:
        same = list(zip(teacher.shape[:-1], student.shape[:-1], strict=False))
    fits = kind.compares == MAPS or teacher.shape.rank == student.shape.rank
    if kind.compares == LOGITS or kind.equal_widths:
        same.append((teacher.shape[-1], student.shape[-1]))
    if not fits or any(None not in sizes and sizes[0] != sizes[1] for sizes in same):
        raise ValueError(
            f"{name}: the teacher's tensor has shape {tuple(teacher.shape)}, the student's {tuple(student.shape)}; "
            f"{_fitting(kind)}."
        )


def _fitting(kind: LossKind) -> str:
    if kind.compares == MAPS:
        return "both have the same rows, queries and keys"
    if kind.compares == LOGITS or kind.equal_widths:
        return (
            "this loss compares them element by element. Project the student to the teacher's width, or choose a loss "
            "of similarities"
        )
    return "both have the same rows and positions"


@as_written
def _require_mask(name: str, kind: LossKind, mask, student: tf.Tensor) -> None:
    tensor = numbers(f"{name}: mask", mask)
    shape = student.shape
    if shape.rank is None or tensor.shape.rank is None:
        return
    wanted = [shape[0], shape[-1]] if kind.compares == MAPS else list(shape[:-1])
    rows_only = name == "pkd" and tensor.shape.rank == 1
    fits = tensor.shape.rank == len(wanted) or rows_only
    sizes = [*zip(tensor.shape, wanted, strict=False)]
    if kind.compares == MAPS and fits:
        sizes.append((tensor.shape[1], shape[-2]))
    if not fits or any(None not in pair and pair[0] != pair[1] for pair in sizes):
        raise ValueError(
            f"{name}: A mask of shape {tuple(tensor.shape)} does not fit values of shape {tuple(shape)}: "
            f"{wanted} is expected, 1 for what counts."
        )
