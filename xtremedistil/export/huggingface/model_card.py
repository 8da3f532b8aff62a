"""The model card of a student's folder: what it is, how well it does, how to use it, how it was made."""

import os

from xtremedistil.evaluation.report import ReportRow, read_report
from xtremedistil.export.common.parity import Exported
from xtremedistil.export.common.source import Source
from xtremedistil.storage import model_folder

REPORT_NAMES = {model_folder.STUDENT_WEIGHTS: "student", model_folder.BASELINE_WEIGHTS: "student, labels only"}


def model_card(source: Source, exported: Exported, *, pytorch_class: str, parameters: int) -> str:
    """`README.md` as the hub shows it.

    Args:
        pytorch_class: the name of the class that loads the folder. parameters: their number in the folder.
    """
    parts = [_head(source, pytorch_class), _sizes(source, exported, parameters), _labels(source)]
    parts += [_scores(source), _use(source), _origin(source, exported)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(source: Source, pytorch_class: str) -> str:
    student, task = source.student, source.task
    training = "trained on labels alone" if _is_baseline(source) else "distilled from a larger model"
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            f"pipeline_tag: {task.pipeline}",
            "tags:",
            *(f"- {tag}" for tag in ("xtremedistil", "distillation", student.family.model_type)),
            "---",
            "",
            f"# {_base_name(source.saved['task'])}: a small student",
            "",
            f"A `{pytorch_class}` that {task.purpose}, {training} with xtremedistil.",
        ]
    )


def _sizes(source: Source, exported: Exported, parameters: int) -> str:
    config = source.student.encoder.config
    rows = [
        ("layers", config.num_hidden_layers),
        ("hidden size", config.hidden_size),
        ("attention heads", config.num_attention_heads),
        ("parameters", f"{parameters:,}"),
        ("size of the folder", f"{exported.bytes / 1e6:.1f} MB"),
        ("longest row", f"{source.saved['seq_len']} tokens"),
    ]
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])


def _labels(source: Source) -> str:
    return "## Labels\n\n" + ", ".join(f"`{label}`" for label in source.task.all_labels)


def _scores(source: Source) -> str:
    """Of teacher and student, if a report is there and is about these weights."""
    path = os.path.join(source.model_dir, model_folder.REPORT)
    rows: dict[str, ReportRow] = {}
    if os.path.isfile(path):
        rows = {row.name: row for row in read_report(path).rows}
    own = rows.get(REPORT_NAMES.get(source.weights, ""))
    if own is None:
        return ""
    shown = [("teacher", rows["teacher"])] if "teacher" in rows else []
    shown.append(("this student", own))
    lines = [f"| {name} | {100 * row.dev:.1f} | {100 * row.test:.1f} |" for name, row in shown]
    head = [f"## Scores\n\n{own.metric} on the task's own files, in percent.\n", "| | dev | test |"]
    return "\n".join([*head, "| --- | --- | --- |", *lines])


def _use(source: Source) -> str:
    task = source.task
    call = f'pipeline("{task.pipeline}", model="path/to/this/folder"{task.pipeline_options})'
    code = f"```python\nfrom transformers import pipeline\n\nstudent = {call}\nstudent({task.pipeline_input})\n```"
    return f"## Use\n\n{code}\n\n{task.pipeline_remark}"


def _origin(source: Source, exported: Exported) -> str:
    teacher = source.saved.get("pt_teacher_checkpoint")
    facts = [f"task: `{_base_name(source.saved['task'])}`", f"weights: `{source.weights}`"]
    if teacher and not _is_baseline(source):
        facts.insert(0, f"teacher: `{_base_name(teacher)}`, fine-tuned on the task")
    facts.append(
        f"compared with the Keras student on {exported.rows:,} rows: largest difference of a logit "
        f"{exported.largest_difference:.1e}, {100 * exported.label_agreement:.2f} % of labels the same"
    )
    return "\n".join(["## How it was made\n", *(f"- {fact}" for fact in [*facts, *exported.remarks])])


def _is_baseline(source: Source) -> bool:
    return source.weights == model_folder.BASELINE_WEIGHTS


def _base_name(path: str) -> str:
    return os.path.basename(os.path.normpath(path))
