"""The report of a run: scores, sizes, speed and times, as a table and as `report.json`."""

import dataclasses
from dataclasses import dataclass, field

from xtremedistil.storage.declared import Anything, ListOf, MapOf, Number, Object, OrNull, Text, Whole
from xtremedistil.storage.json_files import read_json

ROW = {"name": Text(), "parameters": Whole(most=10**15), "metric": Text(), "dev": Number(), "test": Number()}
ROW["milliseconds"] = Number()
SAVED = Object(
    {
        "rows": ListOf(Object(ROW, required=ROW)),
        "metrics": MapOf(MapOf(Anything())),
        "stages": ListOf(MapOf(Anything())),
        "best_stage": OrNull(Whole()),
        "metric_note": Text(),
        "verdict": Text(),
    },
    required=("rows",),
)
REMOVE = "Remove the file and give the same command again: it is written anew."


@dataclass(frozen=True)
class ReportRow:
    """One model: parameters, dev and test score (0 to 1) of the task's metric, milliseconds per sentence."""

    name: str
    parameters: int
    metric: str
    dev: float
    test: float
    milliseconds: float


@dataclass
class Report:
    """Rows for teacher, student and baseline; full test metrics by row; seconds by stage.

    Fields:
        metric_note: what the metric of the rows counts. verdict: what the scores say, and what to try; may be empty.
    """

    rows: list[ReportRow] = field(default_factory=list)
    metrics: dict[str, dict] = field(default_factory=dict)
    stages: list[dict] = field(default_factory=list)
    best_stage: int | None = None
    metric_note: str = ""
    verdict: str = ""

    def table(self) -> str:
        """Formats the rows as a table."""
        if not self.rows:
            return ""
        header = ["", "parameters", f"dev {self.rows[0].metric}", f"test {self.rows[0].metric}", "ms/sentence"]
        lines = [header] + [
            [
                row.name,
                f"{row.parameters:,}",
                f"{100 * row.dev:.1f}",
                f"{100 * row.test:.1f}",
                f"{row.milliseconds:.2f}",
            ]
            for row in self.rows
        ]
        return "\n".join([aligned(lines), *filter(None, (self.metric_note, self.verdict))])

    def to_dict(self) -> dict:
        return dataclasses.asdict(self)


def read_report(path: str) -> Report:
    """Reads the report of a finished run. Raises InputError if it is damaged."""
    saved = read_json(path, SAVED, REMOVE)
    rows = [ReportRow(**{name: row[name] for name in ROW}) for row in saved["rows"]]
    return Report(**{name: saved[name] for name in SAVED.keys if name in saved} | {"rows": rows})


def aligned(lines: list[list[str]]) -> str:
    """Aligns columns of text, the first to the left and the others to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


HEADER = ["", "parameters", "metric", "dev", "test", "ms/sentence"]


def transfer_table(report: Report) -> str:
    """Formats the table of a task transfer: source teacher and student, target student with and without transfer."""
    rows = [
        [
            row.name,
            f"{row.parameters:,}",
            row.metric,
            f"{100 * row.dev:.1f}",
            f"{100 * row.test:.1f}",
            f"{row.milliseconds:.2f}",
        ]
        for row in report.rows
    ]
    return "\n".join([aligned([HEADER, *rows]), *filter(None, (report.metric_note, report.verdict))])
