"""The schedule as data: representation, then logits, then labels, the last two with gradual unfreezing.

With n shared blocks (the encoder, and the projection where the student is narrower than the teacher) there are
2n + 3 stages (Mukherjee & Awadallah, 2020, section 4; numbering and file names of the original release). A teacher that
gives logits alone leaves out the first of them. The recipe "joint" has one stage in place of all on the transfer set:
the whole student learns from states and logits together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xtremedistil.config import JOINT, DistilConfig

HEAD, PROJECTION, ENCODER = "head", "dense", "student"
REPRESENTATION, LOGITS, LABELS = "representation", "logits", "labels"
OBJECTIVES = (REPRESENTATION, LOGITS, JOINT, LABELS)


@dataclass(frozen=True)
class Stage:
    """One fit of the plan.

    Fields:
        number: from 1, as in the file names.
        objective: "representation", "logits", "joint" (both and, by choice, labels) or "labels".
        unfrozen: blocks that are trained: of "student", "dense" and "head".
        epochs: most epochs (of each chunk, on the transfer set).
        learning_rate: peak.
        batch_size: rows per batch and device.
    """

    number: int
    objective: str
    unfrozen: tuple[str, ...]
    epochs: int
    learning_rate: float
    batch_size: int

    @property
    def trains_encoder(self) -> bool:
        return ENCODER in self.unfrozen

    @property
    def on_transfer_set(self) -> bool:
        return self.objective != "labels"


def unfreeze_order(config: DistilConfig, blocks: Sequence[str]) -> list[str]:
    """The shared blocks that exist, in the order in which they are unfrozen."""
    return [name for name in config.unfreeze_order.split(",") if name in blocks and name != HEAD]


def plan_stages(config: DistilConfig, blocks: Sequence[str]) -> list[Stage]:
    """All stages of a run.

    Args:
        config: settled by `config.resolve`.
        blocks: names of the student's blocks: "student", "head", and "dense" if it has a projection.
    """
    shared = unfreeze_order(config, blocks)
    growing = [(HEAD, *shared[:count]) for count in range(len(shared) + 1)]
    if config.recipe == JOINT:
        wanted = [("joint", growing[-1])]
    else:
        wanted = [] if config.logits_only else [("representation", tuple(shared))]
        wanted += [("logits", unfrozen) for unfrozen in growing]
    wanted += [("labels", unfrozen) for unfrozen in growing]
    return [_stage(config, number, *entry) for number, entry in enumerate(wanted, start=1)]


def _stage(config: DistilConfig, number: int, objective: str, unfrozen: tuple[str, ...]) -> Stage:
    rate = {
        "representation": config.representation_learning_rate,
        "logits": config.learning_rate,
        "joint": config.learning_rate,
        "labels": config.label_learning_rate,
    }[objective]
    if objective == "labels":
        return Stage(number, objective, unfrozen, config.ft_epochs, rate, config.student_ft_batch_size)
    return Stage(number, objective, unfrozen, config.distil_epochs, rate, config.student_distil_batch_size)


def checkpoint_name(stage: Stage, chunk_start: int | None) -> str:
    """File name of the original: `model-stage-2-indx-0.h5` on the transfer set, `model-stage-6.h5` on the labels."""
    return f"model-stage-{stage.number}" + (f"-indx-{chunk_start}.h5" if stage.on_transfer_set else ".h5")
