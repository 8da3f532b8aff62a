"""Opens an external teacher, which gives only logits: a file of logits, or an ONNX graph."""

from xtremedistil.distillation.data.corpus import Corpus, OnChief, at_once
from xtremedistil.distillation.planning.plan import DistillationPlan, TeacherPlan
from xtremedistil.distillation.teacher_outputs.external_logits import ExternalLogits, open_external_logits
from xtremedistil.distillation.teacher_outputs.onnx_teacher import Graph, OnnxTeacher, open_onnx_teacher, read_graph
from xtremedistil.storage.files import fingerprint


def external_graph(teacher: TeacherPlan) -> Graph | None:
    """Reads the ONNX file that `teacher_onnx` names; None without it.

    Raises:
        InputError: the file cannot be used.
    """
    return read_graph(teacher.onnx_file) if teacher.onnx_file else None


def open_external_teacher(
    plan: DistillationPlan, corpus: Corpus, graph: Graph | None, on_chief: OnChief = at_once
) -> ExternalLogits | OnnxTeacher | None:
    """Opens the external teacher that `teacher_logits` or `teacher_onnx` names; None without them.

    Args:
        graph: returned by `external_graph`. on_chief: runs a function in one of several processes, see `Workers`.

    Raises:
        InputError: its file cannot be used, or does not fit the task or the transfer file.
    """
    if path := plan.teacher.logits_file:
        return open_external_logits(path, corpus.task, plan.transfer.file, corpus.store, on_chief)
    if graph:
        return open_onnx_teacher(graph, corpus.task, corpus.dev.features, corpus.tokenizer.pad_id)
    return None


def external_fingerprints(teacher: TeacherPlan, graph: Graph | None) -> dict[str, str]:
    """Returns the sha256 of an external teacher's files, by the flag that names it."""
    prints = {}
    if teacher.logits_file:
        prints["teacher_logits"] = fingerprint(teacher.logits_file)
    if graph:
        prints["teacher_onnx"] = graph.fingerprint
    return prints


def describe(teacher: ExternalLogits | OnnxTeacher, labels: list[str]) -> str:
    """Describes an external teacher in a line; `labels`: the task's."""
    if isinstance(teacher, ExternalLogits):
        return f"logits of {len(teacher.starts) - 1:,} examples in {teacher.path}"
    if teacher.names_labels:
        return f"{teacher.path}, whose labels are the task's"
    order = ", ".join(labels)
    return f"{teacher.path}, which does not name its labels: they are assumed to be in the task's order, {order}"
