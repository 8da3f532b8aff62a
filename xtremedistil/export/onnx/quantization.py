"""int8: as much of the student in 8 bits as the task's metric on dev allows, by measurement.

Weights have 8 bits and a scale for each column (words: for each row), activations 8 bits and a scale for each call, so
that an answer depends a little on padding and batch mates: everything is measured one row at a time.
"""

import os
from dataclasses import replace

import numpy as np

from xtremedistil.errors import InputError
from xtremedistil.export.common.parity import Exported
from xtremedistil.export.common.source import Source
from xtremedistil.export.onnx.onnx_files import INT8, GraphForm, file_notes, measured, metric_of, write_graphs
from xtremedistil.export.onnx.student_graph import build_student_graph, quantizable_parts, weights_of
from xtremedistil.serving.onnx_runtime import OnnxFunction, has_vnni
from xtremedistil.storage import model_folder

AS_EVER = GraphForm()
POINTS = 100  # of a metric from 0 to 1


def write_int8(source: Source, *, max_metric_drop: float, reduce_range: bool, form: GraphForm = AS_EVER) -> Exported:
    """Writes `xtremedistil_int8.onnx`.

    Everything is tried in 8 bits first. While that costs too much, the part whose 8 bits alone move the logits most
    goes back to float32.

    Args:
        max_metric_drop: most points (of 100) of the metric on the rows that 8 bits may cost; of equal labels where the
            rows have none.
        reduce_range: 7-bit weights. form: how the graph is written.

    Raises:
        InputError: nothing in 8 bits is within the bound; nothing is written.
    """
    search = _Search(source, reduce_range or not has_vnni())
    parts = quantizable_parts(search.weights)
    left_out: list[str] = []
    order: list[str] = []
    while search.drop(kept := [part for part in parts if part not in left_out]) > max_metric_drop:
        order = order or search.by_damage(parts)
        left_out.append(order[len(left_out)])
        if len(left_out) == len(parts):
            raise InputError(_refusal(max_metric_drop, search.drops))
    graph = form.of(search.graph(kept))
    exported = measured(source, INT8, model_folder.INT8_ONNX, graph)
    write_graphs({os.path.join(source.model_dir, model_folder.INT8_ONNX): graph})
    return replace(exported, remarks=tuple(_remarks(left_out, search.reduce_range, source.labelled)))


class _Search:
    """Tries sets of parts; `drops` remembers what each cost."""

    def __init__(self, source: Source, reduce_range: bool):
        self.weights = weights_of(source.student)
        self.reduce_range = reduce_range
        self.drops: list[float] = []
        self._source = source

    def graph(self, parts: list[str]):
        notes = file_notes(self._source) | {"int8": parts, "reduce_range": self.reduce_range}
        return build_student_graph(self.weights, quantized=parts, reduce_range=self.reduce_range, notes=notes)

    def drop(self, parts: list[str]) -> float:
        """Points of the metric (of equal labels) that these parts in 8 bits cost."""
        logits = self._logits(parts)
        metric = metric_of(self._source, logits)
        if metric:
            lost = metric["student"] - metric["export"]
        else:
            lost = np.mean(self._answers(self._source.logits) != self._answers(logits))
        self.drops.append(POINTS * float(lost))
        return self.drops[-1]

    def by_damage(self, parts: list[str]) -> list[str]:
        """Parts by the mean square that each, alone in 8 bits, adds to the logits; the worst first."""
        return sorted(parts, key=lambda part: -self._error([part]))

    def _error(self, parts: list[str]) -> float:
        pairs = zip(self._source.logits, self._logits(parts), strict=True)
        return float(np.mean([np.square(ours - theirs).mean() for ours, theirs in pairs]))

    def _answers(self, logits: list[np.ndarray]) -> np.ndarray:
        return self._source.task.chosen(np.concatenate([row.reshape(-1, row.shape[-1]) for row in logits]))

    def _logits(self, parts: list[str]) -> list[np.ndarray]:
        return self._source.logits_of(OnnxFunction(self.graph(parts).SerializeToString(), model_folder.INT8_ONNX))


def _remarks(left_out: list[str], reduce_range: bool, labelled: bool) -> list[str]:
    remarks = [f"left in float32: {', '.join(left_out)}"] if left_out else []
    if reduce_range:
        remarks.append("7-bit weights, right on every CPU")
    if not labelled:
        remarks.append("the rows have no labels: what was bounded is the share of labels that changed")
    return remarks


def _refusal(bound: float, drops: list[float]) -> str:
    return (
        f"int8 cannot stay within `max_metric_drop` {bound:g}: all in 8 bits costs {drops[0]:.2f} points, the last "
        f"part alone {drops[-1]:.2f}. Nothing was written.\nServe xtremedistil_opt.onnx, or allow more."
    )
