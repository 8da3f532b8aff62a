"""A pair of tensors, one of the teacher and one of the student, and the loss between them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from xtremedistil.arguments import require_mapping, require_number
from xtremedistil.errors import require_known
from xtremedistil.losses.specs import LOSS_KINDS, MANY, MAPS, STATES, losses_of, require_options
from xtremedistil.losses.weight_schedules import require_weight

PATH = "path"  # the feature whose teacher and student are paths of sub-layers

FEATURES = {
    "hidden_states": STATES,
    "queries": STATES,
    "keys": STATES,
    "values": STATES,
    "attentions": MAPS,
    "attention_scores": MAPS,
    PATH: STATES,
}

AUTO, NO_PROJECTION = "auto", "none"
PROJECTIONS = (AUTO, NO_PROJECTION, "linear", "relu", "tanh")
NOT_IN_NAMES = re.compile(r"\W+")
Layer = int | str | tuple[int | str, ...]


@dataclass(frozen=True)
class Match:
    """A tensor of the teacher, one of the student, and the loss between them.

    Fields:
        feature: "hidden_states" (layer 0 = embeddings), "queries", "keys", "values", "attentions" (after softmax),
            "attention_scores" (before it; layers of these from 0), or "path".
        teacher, student: layers, from 0; a sub-layer's path for "path". Losses of two layers (`fsp`, `nst`) take two,
            or one as both; `layer_transport` takes any number.
        loss: a name of `losses.LOSSES`. options: its further arguments.
        weight: factor of its loss. weight_schedule: how it varies over training, see `weight_factor`; `distil`
            restarts it with each chunk of the transfer set.
        projection: of the student's tensor to the teacher's width: "linear", "relu", "tanh", "none" or "auto". "auto"
            takes the deployed projection for the top hidden state and a linear one for other layers, but none if the
            loss takes unequal widths or they are equal.
        projection_learning_rate: peak rate of the match's own projection, by default that of everything else.
        teacher_number: number of the teacher, from 0, if there are several.

    Raises:
        ValueError: a value is unknown or out of range, or values contradict each other.
    """

    feature: str
    teacher: Layer
    student: Layer
    loss: str = "hidden_mse"
    weight: float = 1.0
    projection: str = AUTO
    projection_learning_rate: float | None = None
    weight_schedule: str = "constant"
    options: Mapping = field(default_factory=dict)
    teacher_number: int = 0

    def __post_init__(self):
        require_mapping("options", self.options)
        require_known("feature", self.feature, FEATURES)
        require_known("loss", self.loss, LOSS_KINDS)
        require_known("projection", self.projection, PROJECTIONS)
        kind = LOSS_KINDS[self.loss]
        require_options(self.loss, self.options, kind.options)
        if kind.compares != FEATURES[self.feature]:
            fitting = ", ".join(losses_of(FEATURES[self.feature]))
            raise ValueError(f"The loss {self.loss} compares {kind.compares}; of {self.feature} there are: {fitting}.")
        if kind.compares == MAPS and self.projection not in (AUTO, NO_PROJECTION):
            raise ValueError(
                f"projection is {self.projection}; {self.feature} have no width to project. Leave it away."
            )
        if self.loss == "attention_squared_distance" and self.feature == "attention_scores":
            raise ValueError(
                "attention_squared_distance compares probabilities: match attentions, or take attention_mse."
            )
        if self.options.get("compat") and self.feature == "attentions":
            raise ValueError(
                "compat is for attention scores, as in TextBrewer: match attention_scores, or leave it away."
            )
        self._check_numbers()
        for side in ("teacher", "student"):
            self._check_layer(side, getattr(self, side), kind.layers)

    def _check_numbers(self) -> None:
        require_weight(f"The weight of {self.name}", self.weight, self.weight_schedule)
        rate = self.projection_learning_rate
        require_number(f"The projection_learning_rate of {self.name}", rate, optional=True)
        if not _is_number(self.teacher_number):
            raise ValueError(f"teacher_number is {self.teacher_number!r}; teachers are counted from 0.")

    def _check_layer(self, side: str, layer: Layer, layers: int) -> None:
        several = isinstance(layer, tuple)
        each = layer if several else (layer,)
        fits = all(isinstance(one, str) if self.feature == PATH else _is_number(one) for one in each)
        if not fits or not each or (several and layers != MANY and (layers == 1 or len(layer) != layers)):
            what = "path of a sub-layer" if self.feature == PATH else "layer, counted from 0"
            wanted = f"one {what}" + {1: "", 2: ", or two", MANY: ", or several"}[layers]
            raise ValueError(f"{side} is {layer!r} in a match of {self.feature} by {self.loss}; give {wanted}.")

    @property
    def name(self) -> str:
        """Name of the match in logs, and of its tensors."""
        number = f"teacher{self.teacher_number}_" if self.teacher_number else ""
        places = "_".join(NOT_IN_NAMES.sub("_", str(layer)).strip("_") for layer in (self.teacher, self.student))
        return f"{number}{self.feature}_{self.loss}_{places}"

    @property
    def needs_equal_widths(self) -> bool:
        """Whether its loss compares the two tensors element by element."""
        return LOSS_KINDS[self.loss].equal_widths

    @property
    def needs_host(self) -> bool:
        """Whether its loss runs on the host in each step, so that steps cannot be compiled."""
        return self.loss == "layer_transport" and self.options.get("solver", "exact") == "exact"

    @property
    def is_pair(self) -> bool:
        """Whether its loss takes two layers of each model, which then share one projection."""
        return LOSS_KINDS[self.loss].layers == 2

    @property
    def teacher_names(self) -> tuple[str, ...]:
        """Names of the teacher outputs that it compares; several for a loss of several layers."""
        return self._names(self.teacher)

    @property
    def student_names(self) -> tuple[str, ...]:
        """Names of the student outputs that it compares."""
        return self._names(self.student)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Keys of the student's tensors in its matching model."""
        count = len(self.student_names)
        return (self.name,) if count == 1 else tuple(f"{self.name}_{number}" for number in range(count))

    def _names(self, layer: Layer) -> tuple[str, ...]:
        each = layer if isinstance(layer, tuple) else (layer,) * max(LOSS_KINDS[self.loss].layers, 1)
        return tuple(one if self.feature == PATH else f"{self.feature}_{one}" for one in each)


def _is_number(layer) -> bool:
    return isinstance(layer, int) and not isinstance(layer, bool) and layer >= 0
