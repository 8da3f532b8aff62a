"""Gives the stages teacher outputs: from a file of logits, from the disk cache, or from the running teacher."""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xtremedistil.data.features import Features
from xtremedistil.distillation.data.corpus import KEY_LETTERS
from xtremedistil.distillation.data.transfer_set import HELD_OUT, chunk_name
from xtremedistil.distillation.pipeline.run_context import RunContext
from xtremedistil.distillation.pipeline.teacher import FinetunedTeacher
from xtremedistil.distillation.planning.plan_text import megabytes
from xtremedistil.distillation.teacher_outputs.cache import CachedOutputs, LiveOutputs, cached_outputs, keep_only
from xtremedistil.distillation.teacher_outputs.disk_size import LABELLED_ROWS, resolve_policy, run_outputs
from xtremedistil.distillation.teacher_outputs.external_logits import ExternalLogits
from xtremedistil.distillation.teacher_outputs.logit_source import LogitFileSource
from xtremedistil.models.forward import make_predict_function
from xtremedistil.models.prediction import PredictFunction
from xtremedistil.storage import run_folder

POLICIES = {
    "cache": "teacher's outputs: {all} on disk, for other students too",
    "chunks": "teacher's outputs: at most {most} on disk at a time",
    "live": "teacher's outputs: none on disk, where they would take {all}; the teacher runs in every epoch",
}


def teacher_folder(run: RunContext, teacher: FinetunedTeacher) -> str:
    """Returns the folder of this teacher's outputs in the store."""
    parts = [teacher.key[:KEY_LETTERS], run.plan.outputs.precision, run.plan.teacher.precision]
    return os.path.join(run.corpus.store, "-".join(part for part in parts if part))


@dataclass(frozen=True)
class OutputSource:
    """Teacher outputs of parts of the transfer set.

    Fields:
        folder: of this teacher's outputs. policy: "cache", "chunks" or "live"; see `disk_size.resolve_policy`.
    """

    run: RunContext
    teacher: FinetunedTeacher
    folder: str
    policy: str

    def chunk(self, start: int, names: Sequence[str]) -> CachedOutputs | LiveOutputs:
        """Returns outputs of the chunk that begins with row `start`."""
        return self._of(self.run.corpus.transfer.chunk(start), chunk_name(start), names)

    def held_out(self, names: Sequence[str]) -> CachedOutputs | LiveOutputs:
        return self._of(self.run.corpus.transfer.held_out, HELD_OUT, names)

    def labelled(self, names: Sequence[str]) -> CachedOutputs | LiveOutputs:
        """Returns outputs of the labelled rows."""
        return self._of(self.run.corpus.train.features, LABELLED_ROWS, names)

    def finish_chunk(self, start: int) -> None:
        """With the policy "chunks", removes a chunk's outputs but its logits, which later stages read."""
        if self.policy == "chunks":
            folder = os.path.join(self.folder, chunk_name(start))
            self.run.workers.on_chief(lambda: keep_only(folder, ["logits"]))

    @functools.cached_property
    def _outputs_of(self) -> Callable[[tuple[str, ...]], PredictFunction]:
        """Returns the teacher's predict function for names of outputs, traced once for all chunks."""
        return functools.cache(lambda names: make_predict_function(self.teacher.teacher.feature_model(names)))

    def _of(self, rows: Features, name: str, names: Sequence[str]) -> CachedOutputs | LiveOutputs:
        run = self.run
        if self.policy == "live":
            return LiveOutputs(self._outputs_of(tuple(names)), rows, names, run.pad_id)
        # Logits are always kept: later stages need them, and the teacher runs anyway.
        wanted = sorted({"logits", *names})
        targets = cached_outputs(
            lambda missing: self._outputs_of(tuple(missing)),
            rows,
            wanted,
            os.path.join(self.folder, name),
            key=f"teacher {self.teacher.key}, rows {rows.fingerprint()}",
            how=run.output_writer(f"teacher's outputs ({name})"),
        )
        return targets.select(names)


Source = OutputSource | LogitFileSource


def source_of(run: RunContext, teacher: FinetunedTeacher | ExternalLogits) -> Source:
    """Opens the source of teacher outputs; for a teacher that runs here, decides and logs how its outputs are kept.

    Raises:
        InputError: `teacher_outputs` cache needs more than the disk has.
    """
    if isinstance(teacher, ExternalLogits):
        return LogitFileSource(run.corpus.transfer, teacher)
    plan, corpus = run.plan, run.corpus
    labels = len(corpus.task.labels) if plan.teacher.is_external else teacher.teacher.head.units
    names, size = run_outputs(plan, corpus, labels)
    folder = teacher_folder(run, teacher)
    policy = _fixed_policy(run, resolve_policy(plan.outputs.policy, size, folder, ["logits", *names]))
    sizes = {"all": megabytes(size.everything), "most": megabytes(size.at_a_time)}
    besides = f"; the student's hidden states: {megabytes(size.besides)} at a time" if size.besides else ""
    run.progress.log(POLICIES[policy].format(**sizes) + besides)
    return OutputSource(run, teacher, folder, policy)


def _fixed_policy(run: RunContext, policy: str) -> str:
    """The chief's policy for all workers; a resumed run keeps to disk or to live, since these round differently."""
    policies, workers = list(POLICIES), run.workers
    policy = policies[int(workers.broadcast_from_chief(policies.index(policy)))]
    live = policy == "live"
    if workers.chief:
        live = run_folder.fix_live_mode(run.plan.model_dir, live)
    if workers.broadcast_from_chief(live):
        return "live"
    return "chunks" if policy == "live" else policy
