"""Prepares a student's tensors for matching: projects them to the teacher's width where needed."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import tf_keras

from xtremedistil.models.checkpoints.h5_weights import MATCHING
from xtremedistil.models.features.encoder_outputs import in_float32

PROJECTION_SPREAD = 0.02  # standard deviation of new projections, as of all new weights of BERT


class Match(Protocol):
    """The part of `terms.match.Match` that models use."""

    projection: str
    projection_learning_rate: float | None

    @property
    def name(self) -> str: ...

    @property
    def student_names(self) -> tuple[str, ...]: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...

    @property
    def is_pair(self) -> bool: ...

    @property
    def needs_equal_widths(self) -> bool: ...


def matched_tensors(
    matches: Sequence[Match],
    features: Mapping,
    *,
    teacher_width: Callable[[Match], int],
    deployed: Callable | None = None,
    top: str | None = None,
    dropout_rate: float = 0.0,
    spread: float | None = PROJECTION_SPREAD,
) -> tuple[dict, list[tf_keras.layers.Layer]]:
    """Returns the student's tensors of all matches.

    Args:
        features: the student's tensors by name.
        teacher_width: returns the width of a match's teacher tensor.
        deployed: the layer that projects the tensor `top` in the deployed student.
        dropout_rate: of dropout before projections of kind "auto".
        spread: standard deviation of new projections; None: Keras' default initialization.

    Returns:
        float32 tensors by the names of `Match.outputs`, and the layers with weights that only matching needs.
    """
    outputs, layers = {}, []
    for match in matches:
        make = functools.partial(_projection, match, width=teacher_width(match), spread=spread)
        projections = _projections(match, features, make, deployed, top)
        layers += [layer for layer in dict.fromkeys(projections) if layer is not None and layer is not deployed]
        for name, output, projection in zip(match.student_names, match.outputs, projections, strict=True):
            tensor = features[name]
            if projection is not None and match.projection == "auto":
                tensor = tf_keras.layers.Dropout(dropout_rate, name=f"{output}_dropout")(tensor)
            tensor = tensor if projection is None else projection(tensor)
            outputs[output] = in_float32(tensor, output)
    return outputs, layers


def _projections(match: Match, features: Mapping, make: Callable, deployed, top: str | None) -> list:
    """Returns a projection for each of the student's tensors, None for those that need none."""

    def projection(name: str, title: str):
        return make(features[name], deployed=deployed if name == top else None, name=title + MATCHING)

    names = match.student_names
    if match.is_pair:
        return [projection(names[-1], match.name)] * 2
    return [projection(name, output) for name, output in zip(names, match.outputs, strict=True)]


def _projection(match: Match, tensor, *, width: int, spread: float | None, deployed: Callable | None, name: str):
    """Returns a projection to the teacher's width; None if the tensor needs none."""
    if match.projection == "none" or (match.projection == "auto" and not match.needs_equal_widths):
        return None
    if match.projection == "auto" and deployed is not None:
        return deployed
    if match.projection == "auto" and tensor.shape[-1] == width:
        return None
    activation = "linear" if match.projection == "auto" else match.projection
    initial = tf_keras.initializers.RandomNormal(stddev=spread) if spread else "glorot_uniform"
    return tf_keras.layers.Dense(width, activation=activation, kernel_initializer=initial, name=name)


def projection_rates(matches: Sequence[Match], peak: float) -> dict[str, float]:
    """Returns the factor of the learning rate for projections that have their own rate, by name.

    Args:
        peak: learning rate of everything else.
    """
    own = {
        title + MATCHING: match.projection_learning_rate for match in matches for title in (match.name, *match.outputs)
    }
    return {name: rate / peak for name, rate in own.items() if rate is not None}
