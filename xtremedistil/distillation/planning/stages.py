"""The training stages as data: on representations, then logits, then labels, the last two with gradual unfreezing.

With n shared blocks (the encoder, and the projection if the student is narrower than the teacher) there are 2n + 3
stages (Mukherjee & Awadallah, 2020, section 4; numbering and file names of the original release). An external teacher
has no representation stage. The recipe "joint" replaces all stages on the transfer set by one, in which the whole
student learns from hidden states and logits together. A caller may give its own stages instead.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xtremedistil.arguments import is_number, require_kind, require_text, require_texts, require_whole, shown
from xtremedistil.distillation.planning.config import JOINT, DistilConfig, resolve
from xtremedistil.errors import InputError, require_known

HEAD, PROJECTION, ENCODER = "head", "dense", "student"
REPRESENTATION, LOGITS, LABELS = "representation", "logits", "labels"
OBJECTIVES = (REPRESENTATION, LOGITS, JOINT, LABELS)


@dataclass(frozen=True)
class Stage:
    """One training stage.

    Fields:
        number: from 1, as in the file names.
        objective: "representation", "logits", "joint" (both, and labels if these have a weight) or "labels".
        unfrozen: blocks that are trained ("student", "dense", "head"), or paths of sub-layers of the student's encoder,
            such as "encoder/layer_._0".
        epochs: maximum (for each chunk, on the transfer set).
        learning_rate: peak.
        batch_size: rows per batch and device.
    """

    number: int
    objective: str
    unfrozen: tuple[str, ...]
    epochs: int
    learning_rate: float
    batch_size: int

    def __post_init__(self):
        for name in ("number", "epochs", "batch_size"):
            require_whole(name, getattr(self, name))
        require_text("objective", self.objective)
        if isinstance(self.unfrozen, str):
            raise InputError(f"unfrozen is {self.unfrozen!r}; list one or several blocks, or paths of sub-layers.")
        require_texts("unfrozen", self.unfrozen)
        if not (is_number(self.learning_rate) and self.learning_rate >= 0):
            raise InputError(f"learning_rate is {shown(self.learning_rate)}; learning_rate is a number above 0.")

    @property
    def trains_encoder(self) -> bool:
        """Whether it trains the encoder or some of its layers."""
        return any(name not in (HEAD, PROJECTION) for name in self.unfrozen)

    @property
    def trains_states_in_part(self) -> bool:
        """Whether it matches hidden states while part of the encoder is frozen; only a caller's own stages do this."""
        return self.objective in (REPRESENTATION, JOINT) and ENCODER not in self.unfrozen

    @property
    def on_transfer_set(self) -> bool:
        return self.objective != LABELS


def unfreeze_order(config: DistilConfig, blocks: Sequence[str]) -> list[str]:
    """Returns the shared blocks that exist, in the order in which they are unfrozen."""
    return [name for name in config.unfreeze_order.split(",") if name in blocks and name != HEAD]


def plan_stages(config: DistilConfig, blocks: Sequence[str]) -> list[Stage]:
    """Returns all stages of a run.

    Args:
        config: as given, or returned by `config.resolve`.
        blocks: names of the student's blocks: "student", "head", and "dense" if it has a projection.

    Raises:
        ValueError: these are no settings, or no such names.
    """
    require_kind("config", config, DistilConfig, "a DistilConfig")
    require_texts("blocks", blocks)
    for name in blocks:
        require_known("block", name, (HEAD, PROJECTION, ENCODER))
    if config.representation_learning_rate == "auto":
        config = resolve(config)
    shared = unfreeze_order(config, blocks)
    growing = [(HEAD, *shared[:count]) for count in range(len(shared) + 1)]
    if config.recipe == JOINT:
        wanted = [(JOINT, growing[-1])]
    else:
        wanted = [] if config.logits_only else [(REPRESENTATION, tuple(shared))]
        wanted += [(LOGITS, unfrozen) for unfrozen in growing]
    wanted += [(LABELS, unfrozen) for unfrozen in growing]
    return [_stage(config, number, *entry) for number, entry in enumerate(wanted, start=1)]


def _stage(config: DistilConfig, number: int, objective: str, unfrozen: tuple[str, ...]) -> Stage:
    rate = {
        REPRESENTATION: config.representation_learning_rate,
        LOGITS: config.learning_rate,
        JOINT: config.learning_rate,
        LABELS: config.label_learning_rate,
    }[objective]
    if objective == LABELS:
        return Stage(number, objective, unfrozen, config.ft_epochs, rate, config.student_ft_batch_size)
    return Stage(number, objective, unfrozen, config.distil_epochs, rate, config.student_distil_batch_size)


def check_stages(stages: Sequence[Stage], *, logits_only: bool) -> None:
    """Checks stages that a caller gave; paths of sub-layers are checked when the student is built.

    Args:
        logits_only: whether the teacher gives no hidden states.

    Raises:
        InputError: a stage has a problem, or no stage trains the head, so that no score could select one.
    """
    if not isinstance(stages, (list, tuple)) or not all(isinstance(stage, Stage) for stage in stages):
        raise InputError(f"stages is {shown(stages)}; it is a list of Stage, as plan_stages returns it.")
    if [stage.number for stage in stages] != list(range(1, len(stages) + 1)):
        numbers = ", ".join(str(stage.number) for stage in stages)
        raise InputError(f"stages: their numbers are {numbers}; count them from 1 in the order in which they run.")
    for stage in stages:
        if problem := _stage_problem(stage, logits_only):
            raise InputError(f"stages: stage {stage.number}: {problem}")
    if all(stage.objective == REPRESENTATION for stage in stages):
        raise InputError("stages: none trains the head; add one whose objective is logits, joint or labels.")


def _stage_problem(stage: Stage, logits_only: bool) -> str | None:
    if stage.objective not in OBJECTIVES:
        return f'the objective is "{stage.objective}"; there are: {", ".join(OBJECTIVES)}.'
    if logits_only and stage.objective == REPRESENTATION:
        return "an external teacher gives only logits, no hidden states; take another objective."
    if not stage.unfrozen:
        return f"unfrozen is {stage.unfrozen!r}; list one or several blocks, or paths of sub-layers."
    if twice := _named_twice(stage.unfrozen):
        return f"unfrozen is {stage.unfrozen!r}; another entry already covers {twice}. Leave it away."
    if stage.objective == REPRESENTATION and not stage.trains_encoder:
        return f"unfrozen is {stage.unfrozen!r}; only the encoder gives hidden states. Add {ENCODER}."
    if stage.epochs < 1 or stage.batch_size < 1 or not 0 < stage.learning_rate < math.inf:
        return "epochs and batch_size are at least 1, learning_rate is a number above 0."
    return None


def _named_twice(names: Sequence[str]) -> str | None:
    """Returns a name that another one covers too; None if there is none."""
    paths = [name for name in names if name not in (HEAD, PROJECTION, ENCODER)]
    if ENCODER in names and paths:
        return paths[0]
    inside = [path for path in paths for other in paths if path.startswith(f"{other}/")]
    return next((name for name in names if list(names).count(name) > 1), next(iter(inside), None))


def checkpoint_name(stage: Stage, chunk_start: int | None) -> str:
    """File name as in the original: `model-stage-2-indx-0.h5` on the transfer set, `model-stage-6.h5` on labels."""
    return f"model-stage-{stage.number}" + (f"-indx-{chunk_start}.h5" if stage.on_transfer_set else ".h5")
