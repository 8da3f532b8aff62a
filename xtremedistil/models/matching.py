"""A student's tensors as a loss compares them with the teacher's: projected where widths or a match ask for it."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import tf_keras

from xtremedistil.models.encoder import in_float32
from xtremedistil.weights import MATCHING

if TYPE_CHECKING:
    from xtremedistil.distillation.match import Match

PROJECTION_SPREAD = 0.02  # standard deviation of a projection that a match asks for


def matched_tensors(
    matches: Sequence["Match"],
    features: Mapping,
    *,
    teacher_width: Callable[[str], int],
    deployed: Callable | None = None,
    top: str | None = None,
    dropout_rate: float = 0.0,
) -> tuple[dict, list[tf_keras.layers.Layer]]:
    """The student's side of all matches.

    Args:
        features: the student's tensors by name.
        teacher_width: of the teacher's tensor of a name.
        deployed: the layer that projects the tensor `top` in the student as it will be used.
        dropout_rate: before projections that no match asks for.

    Returns:
        float32 tensors under the names of `Match.outputs`, and the layers with weights that only matching needs.
    """
    outputs, layers = {}, []
    for match in matches:
        tensors = [features[name] for name in match.student_names]
        projection = _projection(
            match, tensors[-1], teacher_width, deployed if match.student_names[-1] == top else None
        )
        if projection is not None:
            if projection is not deployed:
                layers.append(projection)
            if match.projection == "auto":
                dropout = tf_keras.layers.Dropout(dropout_rate, name=f"{match.name}_dropout")
                tensors = [dropout(tensor) for tensor in tensors]
            tensors = [projection(tensor) for tensor in tensors]
        outputs |= {name: in_float32(tensor, name) for name, tensor in zip(match.outputs, tensors, strict=True)}
    return outputs, layers


def _projection(match: "Match", tensor, teacher_width: Callable[[str], int], deployed: Callable | None):
    """A layer to the teacher's width; None where the tensor is compared as it is. One serves both layers of a pair."""
    if match.projection == "none" or (match.projection == "auto" and not match.needs_equal_widths):
        return None
    if match.projection == "auto" and deployed is not None:
        return deployed
    width, name = teacher_width(match.teacher_names[-1]), match.name + MATCHING
    if match.projection != "auto":
        spread = tf_keras.initializers.RandomNormal(stddev=PROJECTION_SPREAD)
        return tf_keras.layers.Dense(width, activation=match.projection, kernel_initializer=spread, name=name)
    return tf_keras.layers.Dense(width, name=name) if tensor.shape[-1] != width else None


def projection_rates(matches: Sequence["Match"], peak: float) -> dict[str, float]:
    """What multiplies the learning rate, by name of the projections that have one of their own.

    Args:
        peak: the rate of everything else.
    """
    own = {match.name + MATCHING: match.projection_learning_rate for match in matches}
    return {name: rate / peak for name, rate in own.items() if rate is not None}
