"""Reads the task's files and the transfer file, and encodes them once."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import numpy as np

from xtremedistil.data.features import LabelledSet
from xtremedistil.data.text_files import find_file
from xtremedistil.distillation.data.augmented_set import (
    Augmented,
    OpenModel,
    augmentation_settings,
    augmented_examples,
    open_augmented,
    open_masked_lm,
)
from xtremedistil.distillation.data.transfer_set import TransferRows, open_transfer_rows, write_transfer_rows
from xtremedistil.distillation.planning.plan import DistillationPlan, TaskPlan
from xtremedistil.storage.files import fingerprint
from xtremedistil.storage.folders import locked, new_folder
from xtremedistil.tasks import Task, open_task
from xtremedistil.tasks.class_weights import class_weights
from xtremedistil.tasks.labelled_sets import read_labelled_sets, task_fingerprint
from xtremedistil.tasks.token_classification import pseudo_labels_of
from xtremedistil.tokenization.tokenizer import Tokenizer

KEY_LETTERS = 16  # digits of a fingerprint in folder names
ROWS = "rows"
DEALING_SEED = 42  # the same in all runs, so that runs with other seeds reuse cached teacher outputs
OnChief = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class Corpus:
    """The labelled sets of a task, and the transfer set.

    Fields:
        transfer: encoded transfer set, on disk. store: folder of the transfer set and of cached teacher outputs.
        class_weights: factor of each gold label in the loss, float32 [L]; None: all weigh the same.
        augmented: summary of the augmented lines; None without augmentation.
    """

    task: Task
    tokenizer: Tokenizer
    train: LabelledSet
    dev: LabelledSet
    test: LabelledSet
    transfer: TransferRows
    store: str
    class_weights: np.ndarray | None
    augmented: Augmented | None


def at_once(work: Callable[[], None]) -> None:
    """Replaces `Workers.on_chief` where there is one process."""
    work()


def read_corpus(
    plan: DistillationPlan,
    tokenizer: Tokenizer,
    store: str,
    on_chief: OnChief = at_once,
    open_model: OpenModel = open_masked_lm,
) -> Corpus:
    """Reads and encodes all files of a distillation, so that faulty ones are found before any model is built.

    Args:
        store: folder for the transfer set (`store_of`).
        on_chief: runs a function in one of several processes, see `Workers`.
        open_model: opens the model of `augment` masked_lm.
    """
    task = open_planned_task(plan.task, tokenizer)
    sets = read_labelled_sets(task, plan.task.folder, tokenizer, plan.task.seq_len, plan.task.original_rows)
    weights = class_weights(plan.task.class_weight, task.labels, sets[0].features)
    on_chief(lambda: _write_rows(plan, task, tokenizer, store, open_model))
    rows = os.path.join(store, ROWS)
    return Corpus(task, tokenizer, *sets, open_transfer_rows(rows), store, weights, open_augmented(rows))


def open_planned_task(task: TaskPlan, tokenizer: Tokenizer) -> Task:
    """Opens the task of a run; `original_rows` of token classification add the original's pseudo-labels."""
    pseudo = pseudo_labels_of(tokenizer) if task.original_rows and task.kind.do_NER else ()
    return open_task(task.folder, dataclasses.replace(task.kind, pseudo_labels=pseudo))


def _write_rows(plan: DistillationPlan, task: Task, tokenizer: Tokenizer, store: str, open_model: OpenModel) -> None:
    """Writes the encoded transfer set into `store`, if it is not there yet; nothing is left of a faulty file."""
    folder = os.path.join(store, ROWS)
    if os.path.isdir(folder):
        return
    with locked(store, wait=True):
        if os.path.isdir(folder):  # another run has just written it
            return
        examples, augmented = task.iter_unlabelled(plan.transfer.file), Augmented()
        if plan.transfer.augment:
            examples = chain(examples, augmented_examples(plan.transfer, task, tokenizer, open_model, augmented))
        with new_folder(folder) as partial:
            write_transfer_rows(
                partial,
                task,
                examples,
                tokenizer,
                plan.task.seq_len,
                chunk_size=plan.transfer.chunk_size,
                seed=DEALING_SEED,
                original_rows=plan.task.original_rows,
            )
            if plan.transfer.augment:
                augmented.save(partial)


def store_of(plan: DistillationPlan, tokenizer: Tokenizer) -> str:
    """Returns the folder, below `plan.outputs.folder`, of an encoded transfer set and its teacher outputs.

    Its name is a hash of all that determines the encoded set, so that runs with other students or teachers share it.
    """
    task, transfer = plan.task, plan.transfer
    parts = [fingerprint(find_file(transfer.file)), tokenizer.fingerprint()]
    parts += [task.seq_len, task.kind.do_NER, task.kind.do_pairwise, task.original_rows, transfer.chunk_size]
    parts += [transfer.augment_seed, *augmentation_settings(transfer).values()] if transfer.augment else []
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:KEY_LETTERS]
    return os.path.join(plan.outputs.folder, key)


def data_fingerprint(plan: DistillationPlan) -> dict[str, str | int]:
    """Returns the sha256 of each file that the run reads, by its role, and the augmentation settings."""
    transfer = {"transfer": fingerprint(find_file(plan.transfer.file))}
    return task_fingerprint(plan.task.folder) | transfer | augmentation_settings(plan.transfer)
