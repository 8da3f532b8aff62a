"""Which teacher tensor meets which student tensor."""

from dataclasses import dataclass

from xtremedistil.config import DistilConfig


@dataclass(frozen=True)
class Match:
    """A pair of tensors that a loss pulls together.

    Fields:
        name: key of the student's tensor in its matching model.
        feature: "hidden_states" (index 0 = embeddings) or "attentions".
        teacher, student: index in that list, from 0.
        weight: factor of its loss.
    """

    name: str
    feature: str
    teacher: int
    student: int
    weight: float = 1.0

    @property
    def teacher_name(self) -> str:
        return f"{self.feature}_{self.teacher}"


def last_layers(
    *,
    teacher_layers: int,
    student_layers: int,
    multi_hidden_states: bool,
    attention: bool,
    hidden_weight: float = 1.0,
    embedding_weight: float = 1.0,
    attention_weight: float = 1.0,
) -> list[Match]:
    """The original's pairing, top with top: student state [-i] with teacher state [-i].

    With `multi_hidden_states` all student states take part, also the embeddings (left out where `embedding_weight` is
    0); `attention` adds the maps of all student layers. The top pair comes first.

    Raises:
        ValueError: the student has more layers than the teacher.
    """
    if student_layers > teacher_layers:
        raise ValueError(f"The student has {student_layers} layers and the teacher only {teacher_layers}.")
    depth = teacher_layers - student_layers
    states = range(student_layers, 0, -1) if multi_hidden_states else [student_layers]
    matches = [Match(f"hidden_{i}", "hidden_states", i + depth, i, hidden_weight) for i in states]
    if multi_hidden_states and embedding_weight:
        matches.append(Match("hidden_0", "hidden_states", depth, 0, embedding_weight))
    if attention:
        maps = range(student_layers - 1, -1, -1)
        matches += [Match(f"attention_{i}", "attentions", i + depth, i, attention_weight) for i in maps]
    return matches


def configured_matches(config: DistilConfig, teacher_layers: int, student_layers: int) -> list[Match]:
    """The pairs that a run's flags ask for."""
    return last_layers(
        teacher_layers=teacher_layers,
        student_layers=student_layers,
        multi_hidden_states=config.distil_multi_hidden_states,
        attention=config.distil_attention,
        hidden_weight=config.hidden_weight,
        embedding_weight=config.embedding_weight,
        attention_weight=config.attention_weight,
    )
