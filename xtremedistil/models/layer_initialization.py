"""Initializes a student by copying embeddings and some layers of its teacher."""

import re

import numpy as np

from xtremedistil.errors import InputError
from xtremedistil.models.checkpoints.h5_weights import relative_name

LAYER = re.compile(r"(?<=_\._)\d+(?=/)")  # in a variable's name: "encoder/layer_._3/..."
UNIFORM = "uniform"


def parse_layers(text: str, teacher_layers: int, student_layers: int | None) -> list[int]:
    """Returns the teacher layers that a student is initialized from, from 0, in the student's order.

    Args:
        text: numbers as in "0,2,4", or "uniform": the first, the last, and as many between as there are student layers.
            For 12 and 6 these are DistilBERT's 0, 2, 4, 7, 9, 11 (Sanh et al., 2019, code).

    Raises:
        InputError: the text is not a list of numbers, a layer does not exist, or the student has another number of
            layers.
    """
    if text == UNIFORM:
        count = student_layers or max(1, teacher_layers // 2)
        if count > teacher_layers:
            raise InputError(f"uniform: the student has {count} layers, the teacher {teacher_layers}.")
        return np.round(np.linspace(0, teacher_layers - 1, count)).astype(int).tolist()
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise InputError(f"{text}: give layers of the teacher from 0, as in 0,2,4, or {UNIFORM}.")
    layers = [int(number) for number in text.split(",")]
    if wrong := [layer for layer in layers if layer >= teacher_layers]:
        raise InputError(f"{text}: the teacher has layers 0 to {teacher_layers - 1}, not {wrong[0]}.")
    if student_layers is not None and len(layers) != student_layers:
        raise InputError(f"{text} are {len(layers)} layers, but the student has {student_layers}.")
    return layers


def pick_layers(teacher, student, layers: list[int]) -> None:
    """Copies embeddings and `layers` of one built encoder into another of the same widths.

    Raises:
        InputError: the teacher has no weight of that name, or its shape differs.
    """
    known = {relative_name(variable.name, teacher.name): variable for variable in teacher.weights}
    for variable in student.weights:
        name = relative_name(variable.name, student.name)
        source = LAYER.sub(lambda found: str(layers[int(found.group())]), name, count=1)
        if source not in known or known[source].shape != variable.shape:
            shape = list(known[source].shape) if source in known else "nothing of that name"
            raise InputError(
                f"The student's {name} is {list(variable.shape)}, the teacher has {shape}: layers can only be "
                "copied into a student of the teacher's family and widths."
            )
        variable.assign(known[source])
