"""What a pre-training run comes to, as a table and as `pretrain.json`."""

import dataclasses
from dataclasses import dataclass, field

from xtremedistil.evaluation.report import REMOVE, aligned
from xtremedistil.storage.declared import Anything, ListOf, MapOf, Number, Object, OrNull, Whole
from xtremedistil.storage.json_files import read_json

REPORT = "pretrain.json"
COUNT = Whole(most=10**18)
FIELDS = {
    "teacher_accuracy": OrNull(Number()),
    "student_accuracy": OrNull(Number()),
    "loss": Number(),
    "parameters": Object({"teacher": COUNT, "student": COUNT}, required=("teacher", "student")),
    "rows": COUNT,
    "pieces": COUNT,
    "steps": COUNT,
    "seconds": Number(),
    "pieces_per_second": Number(),
    "history": ListOf(MapOf(Anything())),
}
SAVED = Object(FIELDS, required=[name for name in FIELDS if name != "history"])


@dataclass(frozen=True)
class PretrainReport:
    """Scores on held-out sequences of the corpus. The names of its fields are keys of `pretrain.json`.

    Fields:
        teacher_accuracy, student_accuracy: fraction of masked (or next) tokens that a model predicts rightly; None
            where it predicts none.
        loss: the student's, the weighted sum of all terms.
        parameters: of each model with its head, by "teacher" and "student".
        rows, pieces: sequences and tokens of the corpus that the student is trained on. steps: updates.
        seconds: of training the student alone. pieces_per_second: tokens that it has read in that time.
        history: an entry for each score during training.
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
        lines = [["", "parameters", "accuracy on tokens"]]
        for name, accuracy in (("teacher", self.teacher_accuracy), ("student", self.student_accuracy)):
            shown = "-" if accuracy is None else f"{100 * accuracy:.1f}"
            lines.append([name, f"{self.parameters[name]:,}", shown])
        rest = f"loss {self.loss:.4g}, {self.steps:,} updates, {self.pieces_per_second:,.0f} tokens a second"
        return f"{aligned(lines)}\n{rest}"

    def to_dict(self) -> dict:
        return dataclasses.asdict(self)


def read_pretrain_report(path: str) -> PretrainReport:
    """Reads the report of a finished run. Raises InputError if it is damaged."""
    saved = read_json(path, SAVED, REMOVE)
    return PretrainReport(**{name: saved[name] for name in FIELDS if name in saved})
