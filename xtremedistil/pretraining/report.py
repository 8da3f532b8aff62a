"""What a pre-training run comes to, as a table and as `pretrain.json`."""

import dataclasses
from dataclasses import dataclass, field

from xtremedistil.evaluation.report import aligned

REPORT = "pretrain.json"


@dataclass(frozen=True)
class PretrainReport:
    """Scores on held-out rows of the corpus.

    Fields:
        teacher_accuracy, student_accuracy: share of hidden words that are found, 0 to 1; None where a model is not
            asked about words.
        loss: of the student, the weighted sum of all terms.
        parameters: of each model with its head, by "teacher" and "student".
        rows, tokens: of the corpus that are trained on. steps: updates.
        seconds: of training, without what went before. pieces_per_second: that the student has read in that time.
        history: of the fit, an entry for each score.
    """

    teacher_accuracy: float | None
    student_accuracy: float | None
    loss: float
    parameters: dict[str, int]
    rows: int
    pieces: int
    steps: int
    seconds: float
    pieces_per_second: float
    history: list[dict] = field(default_factory=list)

    def table(self) -> str:
        """For a person."""
        lines = [["", "parameters", "words found"]]
        for name, accuracy in (("teacher", self.teacher_accuracy), ("student", self.student_accuracy)):
            shown = "-" if accuracy is None else f"{100 * accuracy:.1f}"
            lines.append([name, f"{self.parameters[name]:,}", shown])
        rest = f"loss {self.loss:.4g}, {self.steps:,} updates, {self.pieces_per_second:,.0f} tokens a second"
        return f"{aligned(lines)}\n{rest}"

    def to_dict(self) -> dict:
        return dataclasses.asdict(self)
