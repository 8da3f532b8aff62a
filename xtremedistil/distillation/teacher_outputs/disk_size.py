"""Estimates how much disk the outputs of teacher and student need, before any is computed."""

import glob
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

import numpy as np

from xtremedistil.data.features import Features
from xtremedistil.distillation.data.corpus import Corpus
from xtremedistil.distillation.data.transfer_set import HELD_OUT, TransferRows, chunk_name
from xtremedistil.distillation.planning.plan import DistillationPlan
from xtremedistil.distillation.planning.plan_text import megabytes
from xtremedistil.distillation.planning.stages import JOINT, REPRESENTATION
from xtremedistil.errors import InputError
from xtremedistil.models.features.names import is_map
from xtremedistil.storage.folders import nearest_existing, same_disk, size_of
from xtremedistil.storage.model_folder import FROZEN_FEATURES
from xtremedistil.terms.layer_map import teacher_names

LABELLED_ROWS = "train"  # name of the labelled set in the store
LOGIT_BYTES = 4
PRECISIONS = ("float16", "float32")
WIDTHS = dict(zip(PRECISIONS, (2, 4), strict=True))
SHARE_OF_DISK = 0.25  # of the free space, that hidden states may take permanently with `teacher_outputs` auto


@dataclass(frozen=True)
class OutputSize:
    """Bytes of a teacher's outputs over a transfer set.

    Fields:
        logits: of all rows. states: of hidden states and attention maps, for each chunk, the held-out rows and, if a
            stage reads them, the labelled rows.
        besides: bytes that the student's hidden states will take on the same disk.
    """

    logits: int
    states: dict[str, int]
    besides: int = 0

    @property
    def everything(self) -> int:
        return self.logits + sum(self.states.values())

    @property
    def at_a_time(self) -> int:
        """Most bytes at a time, if hidden states of a chunk are removed after it."""
        stay = {name: size for name, size in self.states.items() if name in (HELD_OUT, LABELLED_ROWS)}
        return self.logits + sum(stay.values()) + max(size for name, size in self.states.items() if name not in stay)


def output_size(
    rows: TransferRows,
    names: Sequence[str],
    *,
    labels: int,
    tagging: bool,
    hidden_size: int,
    heads: int,
    precision: str,
    labelled: Features | None = None,
    held_out: bool = True,
) -> OutputSize:
    """Estimates the bytes of the outputs `names` (names of `encoder_features`; logits always).

    Outputs of sub-layers are taken to be as wide as the hidden states. Most are; the inner layer of a feed-forward
    block is usually four times as wide.

    Args:
        labels: outputs of the teacher's classifier; tagging: whether each token has them.
        hidden_size, heads: of the teacher. precision: of hidden states, "float16" or "float32".
        labelled: labelled rows, if a stage reads them. held_out: whether a stage reads the held-out rows.
    """
    lengths = np.zeros(0, np.int64) if labelled is None else labelled.lengths.astype(np.int64)
    positions = rows.positions | {LABELLED_ROWS: int(lengths.sum())}
    pairs = rows.pairs | {LABELLED_ROWS: int((lengths**2).sum())}
    parts = [*map(chunk_name, rows.starts), LABELLED_ROWS, *([HELD_OUT] if held_out else [])]
    width = WIDTHS[precision]
    maps = sum(is_map(name) for name in names)
    states = sum(name != "logits" for name in names) - maps
    by_part = {part: width * (positions[part] * states * hidden_size + pairs[part] * maps * heads) for part in parts}
    of_rows = rows.rows + len(lengths) + (rows.held_out_rows if held_out else 0)
    answers = sum(positions[part] for part in parts) if tagging else of_rows
    return OutputSize(answers * labels * LOGIT_BYTES, by_part)


def frozen_size(corpus: Corpus, hidden_size: int, precision: str) -> int:
    """Bytes of the student's hidden states on disk at a time: of dev, and of the train set or a chunk.

    Args:
        hidden_size: of the student.
    """
    tagging = _is_tagging(corpus)
    dev, train = (len(entry.features.input_ids if tagging else entry.features) for entry in (corpus.dev, corpus.train))
    return WIDTHS[precision] * hidden_size * (dev + max(train, *_states_by_chunk(corpus)))


def has_room_for_states(corpus: Corpus, hidden_size: int, precision: str, folder: str) -> bool:
    """Whether the student's hidden states of all chunks take less than a quarter of the free space of `folder`."""
    free = shutil.disk_usage(nearest_existing(folder)).free
    return WIDTHS[precision] * hidden_size * sum(_states_by_chunk(corpus)) < SHARE_OF_DISK * free


def _states_by_chunk(corpus: Corpus) -> list[int]:
    """Number of the student's hidden states in each chunk: one per token, or one per row."""
    rows = corpus.transfer
    if _is_tagging(corpus):
        return [rows.positions[chunk_name(start)] for start in rows.starts]
    return [min(rows.chunk_size, rows.rows - start) for start in rows.starts]


def _is_tagging(corpus: Corpus) -> bool:
    return corpus.task.by_position


def run_outputs(plan: DistillationPlan, corpus: Corpus, labels: int) -> tuple[list[str], OutputSize]:
    """Returns names of the hidden states and attention maps that a run's stages need, and the size of all outputs.

    Args:
        labels: outputs of the teacher's classifier.
    """
    teacher, objectives = plan.teacher.shape, plan.objectives
    names = teacher_names(plan.terms.matches) if objectives & {REPRESENTATION, JOINT} else []
    size = output_size(
        corpus.transfer,
        names,
        labels=labels,
        tagging=_is_tagging(corpus),
        hidden_size=teacher.hidden_size if teacher else 0,
        heads=teacher.num_attention_heads if teacher else 0,
        precision=plan.outputs.precision,
        labelled=corpus.train.features if plan.terms.hard_label_weight and JOINT in objectives else None,
        held_out=REPRESENTATION in objectives,
    )
    return names, replace(size, besides=_besides(plan, corpus))


def _besides(plan: DistillationPlan, corpus: Corpus) -> int:
    if not plan.outputs.frozen_features or not same_disk(corpus.store, plan.model_dir):
        return 0
    there = size_of(plan.path(FROZEN_FEATURES))
    return max(0, frozen_size(corpus, plan.student.shape.hidden_size, plan.outputs.precision) - there)


def array_file(name: str) -> str:
    """Returns the file name of an output in the store; "/" becomes %2F."""
    return f"{quote(name, safe='')}.npy"


def resolve_policy(targets: str, size: OutputSize, folder: str, names: Sequence[str] = ()) -> str:
    """Decides how outputs are kept: "cache" (all), "chunks" (hidden states of one chunk at a time) or "live" (none).

    Args:
        folder: of this teacher's outputs. names: outputs that the run needs; those already there take no new space.

    Raises:
        InputError: `teacher_outputs` cache needs more than the disk has.
    """
    below = os.path.join(glob.escape(folder), "*")
    kept = sum(size_of(path) for name in names for path in glob.glob(os.path.join(below, array_file(name))))
    free = shutil.disk_usage(nearest_existing(folder)).free + kept
    room = free - size.besides
    if targets == "live" or (targets == "auto" and size.at_a_time > room):
        return "live"
    if targets == "cache":
        if size.everything > room:
            raise InputError(_no_room(size, free, folder))
        return "cache"
    return "cache" if size.everything < SHARE_OF_DISK * room else "chunks"


def _no_room(size: OutputSize, free: int, folder: str) -> str:
    besides = f", the student's hidden states {megabytes(size.besides)}" if size.besides else ""
    return (
        f"`teacher_outputs` cache: the teacher's outputs take {megabytes(size.everything)}{besides}, and {folder} has "
        f"{megabytes(free)} left.\nFree some space, name another disk with `teacher_outputs_dir`, or give "
        f"`teacher_outputs` auto (hidden states of one chunk at a time: {megabytes(size.at_a_time)}) or "
        "`teacher_outputs` live (none, but slower)."
    )
