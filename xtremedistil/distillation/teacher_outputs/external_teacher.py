"""A teacher from elsewhere, which gives logits alone: a file of them, or an ONNX graph."""

from xtremedistil.distillation.data.corpus import Corpus, OnChief, at_once
from xtremedistil.distillation.planning.plan import DistillationPlan, TeacherPlan
from xtremedistil.distillation.teacher_outputs.external_logits import ExampleLogits, example_logits
from xtremedistil.distillation.teacher_outputs.onnx_teacher import Graph, OnnxTeacher, open_onnx_teacher, read_graph
from xtremedistil.storage.files import fingerprint


def external_graph(teacher: TeacherPlan) -> Graph | None:
    """The file that `teacher_onnx` names; None without it.

    Raises:
        InputError: it cannot be used.
    """
    return read_graph(teacher.onnx_file) if teacher.onnx_file else None


def open_external_teacher(
    plan: DistillationPlan, corpus: Corpus, graph: Graph | None, on_chief: OnChief = at_once
) -> ExampleLogits | OnnxTeacher | None:
    """What `teacher_logits` or `teacher_onnx` names; None without them.

    Args:
        graph: of `external_graph`. on_chief: runs what only one of several processes may do, see `Workers`.

    Raises:
        InputError: it cannot be used, or does not fit the task or the transfer file.
    """
    if path := plan.teacher.logits_file:
        return example_logits(path, corpus.task, plan.transfer.file, corpus.store, on_chief)
    if graph:
        return open_onnx_teacher(graph, corpus.task, corpus.dev.features, corpus.tokenizer.pad_id)
    return None


def external_fingerprints(teacher: TeacherPlan, graph: Graph | None) -> dict[str, str]:
    """sha256 of what such a teacher is made of, by the flag that names it."""
    prints = {}
    if teacher.logits_file:
        prints["teacher_logits"] = fingerprint(teacher.logits_file)
    if graph:
        prints["teacher_onnx"] = graph.fingerprint
    return prints


def describe(teacher: ExampleLogits | OnnxTeacher, labels: list[str]) -> str:
    """What a person should know of it; `labels`: of the task."""
    if isinstance(teacher, ExampleLogits):
        return f"logits of {len(teacher.starts) - 1:,} examples in {teacher.path}"
    if teacher.names_labels:
        return f"{teacher.path}, whose labels are the task's"
    order = ", ".join(labels)
    return f"{teacher.path}, which does not name its labels: their order is taken to be the task's, {order}"
