"""The rows of a task transfer: of two tasks, whose metrics may differ."""

from xtremedistil.reporting.report import Report, aligned

HEADER = ["", "parameters", "metric", "dev", "test", "ms/sentence"]


def transfer_table(report: Report) -> str:
    """Source teacher, source student, target student, and the one that reused nothing, for a person."""
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
    return aligned([HEADER, *rows])
