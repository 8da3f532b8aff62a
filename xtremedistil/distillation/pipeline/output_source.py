"""Where the stages get the teacher's outputs from: a file; disk, computed when first asked for; the teacher itself."""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xtremedistil.data.features import Features
from xtremedistil.distillation.data.corpus import KEY_LETTERS
from xtremedistil.distillation.data.transfer_set import HELD_OUT, chunk_name
from xtremedistil.distillation.pipeline.run_context import RunContext
from xtremedistil.distillation.pipeline.teacher import TunedTeacher
from xtremedistil.distillation.planning.plan_text import megabytes
from xtremedistil.distillation.teacher_outputs.cache import LiveTargets, Targets, compute_targets, keep_only
from xtremedistil.distillation.teacher_outputs.disk_size import LABELLED_ROWS, run_outputs, settle_targets
from xtremedistil.distillation.teacher_outputs.external_logits import ExampleLogits
from xtremedistil.distillation.teacher_outputs.logit_source import FileSource
from xtremedistil.models.forward import make_predict_function
from xtremedistil.models.prediction import PredictFunction
from xtremedistil.storage import run_folder

POLICIES = {
    "cache": "teacher's outputs: {all} on disk, for other students too",
    "chunks": "teacher's outputs: at most {most} on disk at a time",
    "live": "teacher's outputs: none on disk, where they would take {all}; the teacher runs in every epoch",
}


def teacher_folder(run: RunContext, teacher: TunedTeacher) -> str:
    """Where the store keeps what this teacher says."""
    parts = [teacher.key[:KEY_LETTERS], run.plan.outputs.precision, run.plan.teacher.precision]
    return os.path.join(run.corpus.store, "-".join(part for part in parts if part))


@dataclass(frozen=True)
class TargetSource:
    """Teacher outputs of parts of the transfer set.

    Fields:
        folder: of what this teacher says. policy: "cache", "chunks" or "live"; see `target_size.settle_targets`.
    """

    run: RunContext
    teacher: TunedTeacher
    folder: str
    policy: str

    def chunk(self, start: int, names: Sequence[str]) -> Targets | LiveTargets:
        """Of the chunk that begins with row `start`."""
        return self._of(self.run.corpus.transfer.chunk(start), chunk_name(start), names)

    def held_out(self, names: Sequence[str]) -> Targets | LiveTargets:
        return self._of(self.run.corpus.transfer.held_out, HELD_OUT, names)

    def labelled(self, names: Sequence[str]) -> Targets | LiveTargets:
        """Of the labelled rows."""
        return self._of(self.run.corpus.train.features, LABELLED_ROWS, names)

    def finish_chunk(self, start: int) -> None:
        """Frees the disk of a chunk's states and maps, if they are not to stay; logits are read by later stages too."""
        if self.policy == "chunks":
            folder = os.path.join(self.folder, chunk_name(start))
            self.run.workers.on_chief(lambda: keep_only(folder, ["logits"]))

    @functools.cached_property
    def _outputs_of(self) -> Callable[[tuple[str, ...]], PredictFunction]:
        """The teacher by what it shall give; traced once for all chunks."""
        return functools.cache(lambda names: make_predict_function(self.teacher.teacher.feature_model(names)))

    def _of(self, rows: Features, name: str, names: Sequence[str]) -> Targets | LiveTargets:
        run = self.run
        if self.policy == "live":
            return LiveTargets(self._outputs_of(tuple(names)), rows, names, run.pad_id)
        # Logits always: the logit stages follow, and the teacher has run anyway.
        wanted = sorted({"logits", *names})
        targets = compute_targets(
            lambda missing: self._outputs_of(tuple(missing)),
            rows,
            wanted,
            os.path.join(self.folder, name),
            key=f"teacher {self.teacher.key}, rows {rows.fingerprint()}",
            how=run.computing(f"teacher's outputs ({name})"),
        )
        return targets.select(names)


Source = TargetSource | FileSource


def source_of(run: RunContext, teacher: TunedTeacher | ExampleLogits) -> Source:
    """What the stages read; of a teacher that is asked, says what its outputs will take, and decides how they are kept.

    Raises:
        InputError: `teacher_outputs` cache needs more than the disk has.
    """
    if isinstance(teacher, ExampleLogits):
        return FileSource(run.corpus.transfer, teacher)
    plan, corpus = run.plan, run.corpus
    labels = len(corpus.task.labels) if plan.teacher.is_external else teacher.teacher.head.units
    names, size = run_outputs(plan, corpus, labels)
    folder = teacher_folder(run, teacher)
    policy = _settled_policy(run, settle_targets(plan.outputs.policy, size, folder, ["logits", *names]))
    sizes = {"all": megabytes(size.everything), "most": megabytes(size.at_a_time)}
    besides = f"; the student's states: {megabytes(size.besides)} at a time" if size.besides else ""
    run.progress.say(POLICIES[policy].format(**sizes) + besides)
    return TargetSource(run, teacher, folder, policy)


def _settled_policy(run: RunContext, policy: str) -> str:
    """What the chief finds, but disk stays disk and live stays live when a run goes on: they round differently."""
    policies, workers = list(POLICIES), run.workers
    policy = policies[int(workers.agree(policies.index(policy)))]
    live = policy == "live"
    if workers.chief:
        live = run_folder.settle_live(run.plan.model_dir, live)
    if workers.agree(live):
        return "live"
    return "chunks" if policy == "live" else policy
