"""`xtremedistil.plan`: a plan with counts and sizes of its files; uses TensorFlow only if a match names sub-layers."""

import dataclasses
import os
import tempfile

from xtremedistil.console.quiet import import_tensorflow
from xtremedistil.distillation.data.augmented_set import no_model
from xtremedistil.distillation.data.corpus import Corpus, read_corpus
from xtremedistil.distillation.data.vocabulary import run_vocabulary
from xtremedistil.distillation.pipeline.teacher_head import head_line, teacher_head
from xtremedistil.distillation.planning.config import DistilConfig
from xtremedistil.distillation.planning.measures import Measures
from xtremedistil.distillation.planning.plan import DistillationPlan
from xtremedistil.distillation.planning.planner import make_plan
from xtremedistil.distillation.planning.stages import Stage
from xtremedistil.distillation.teacher_outputs.disk_size import frozen_size, run_outputs
from xtremedistil.distillation.teacher_outputs.external_logits import ExternalLogits
from xtremedistil.distillation.teacher_outputs.external_teacher import (
    describe,
    external_graph,
    open_external_teacher,
)
from xtremedistil.evaluation.scorer import Scorer
from xtremedistil.storage.folders import size_of
from xtremedistil.tasks.labelled_sets import described_sets
from xtremedistil.tasks.problem_types import LABEL_LOSSES
from xtremedistil.terms.match import PATH


def plan(config: DistilConfig, stages: list[Stage] | None = None) -> DistillationPlan:
    """Returns what `distil` with the same arguments will do; `print` it. Reads all files, writes none.

    Raises:
        InputError: settings, stages or files cannot be used.
    """
    return measured(make_plan(config, stages))


def measured(plan: DistillationPlan) -> DistillationPlan:
    """Returns a plan with counts and sizes of its files. Raises as `plan`."""
    return dataclasses.replace(plan, measures=measure(plan))


def measure(plan: DistillationPlan) -> Measures:
    """Reads and encodes the files of a plan.

    Raises:
        InputError: a file cannot be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        tokenizer, _ = run_vocabulary(plan)
        corpus = read_corpus(plan, tokenizer, os.path.join(folder, "store"), open_model=no_model)
        external = open_external_teacher(plan, corpus, external_graph(plan.teacher))
        measures = _measures(plan, corpus)
        if external is None:
            head = head_line(plan, teacher_head(plan, corpus.task))
            return dataclasses.replace(measures, teacher_head=head)
        changes: dict = {"external_teacher": describe(external, corpus.task.labels)}
        if isinstance(external, ExternalLogits):
            size = external.values.nbytes
            changes |= {"outputs_bytes": size, "outputs_bytes_at_a_time": size}
        return dataclasses.replace(measures, **changes)


def _measures(plan: DistillationPlan, corpus: Corpus) -> Measures:
    task, transfer, outputs = corpus.task, corpus.transfer, plan.outputs
    _, size = run_outputs(plan, corpus, len(task.all_labels))
    width, weights = plan.student.shape.hidden_size, corpus.class_weights
    return Measures(
        labels=tuple(task.labels),
        outputs=len(task.all_labels),
        by_position=task.by_position,
        label_loss=LABEL_LOSSES[task.problem_type],
        tokens=corpus.tokenizer.size,
        train_rows=len(corpus.train.features),
        transfer_rows=transfer.rows,
        held_out_rows=transfer.held_out_rows,
        mean_length=sum(transfer.positions.values()) / (transfer.rows + transfer.held_out_rows),
        augmented=corpus.augmented and str(corpus.augmented),
        rows_bytes=size_of(transfer.folder),
        outputs_bytes=size.everything,
        outputs_bytes_at_a_time=size.at_a_time,
        frozen_bytes=frozen_size(corpus, width, outputs.precision) if outputs.frozen_features else 0,
        class_weights=None if weights is None else tuple(map(float, weights)),
        data=tuple(_data_lines(plan, corpus)),
        path_widths=_path_widths(plan),
    )


def _data_lines(plan: DistillationPlan, corpus: Corpus) -> list[str]:
    scorer = Scorer(corpus.task, corpus.tokenizer.pad_id, 1, plan.score_by_token)
    sets = corpus.train, corpus.dev, corpus.test
    return described_sets(corpus.task, sets, corpus.tokenizer, plan.task.seq_len, scorer.metric_note)


def _path_widths(plan: DistillationPlan) -> dict[str, tuple[int, int]]:
    if all(match.feature != PATH for match in plan.terms.matches):
        return {}
    import_tensorflow(plan.flags["verbose"])
    from xtremedistil.distillation.pipeline.path_checks import path_widths

    return path_widths(plan)
