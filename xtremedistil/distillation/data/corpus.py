"""Everything that a run reads: the task's files and the transfer file, encoded once."""

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
from xtremedistil.distillation.planning.config import DistilConfig
from xtremedistil.storage.files import fingerprint
from xtremedistil.storage.folders import locked, new_folder
from xtremedistil.storage.model_folder import TARGETS
from xtremedistil.tasks import Task, open_task
from xtremedistil.tasks.class_weights import class_weights
from xtremedistil.tasks.labelled_sets import read_labelled_sets, task_fingerprint
from xtremedistil.tasks.token_classification import pseudo_labels_of
from xtremedistil.tokenization.tokenizer import Tokenizer

KEY_LETTERS = 16  # of a fingerprint, in folder names

ROWS = "rows"

DEALING_SEED = 42  # the same in all runs, so that one of another seed finds what the teacher has said


OnChief = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class Corpus:
    """A task's sets and, for distillation, the transfer set.

    Fields:
        transfer: rows of the transfer set, on disk. store: the folder of these and of the teacher's outputs.
        class_weights: factor of each gold label in the loss, float32 [L]; None: all weigh the same.
        augmented: what `--augment` added to the transfer set; None without it.
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
    """Stands in for `Workers.on_chief` where there is one process."""
    work()


def read_corpus(
    config: DistilConfig,
    tokenizer: Tokenizer,
    store: str,
    on_chief: OnChief = at_once,
    open_model: OpenModel = open_masked_lm,
) -> Corpus:
    """Reads and encodes all files of a distillation; a fault in any of them shows here, before any model is built.

    Args:
        store: folder for the transfer set (`store_of`).
        on_chief: runs what only one of several processes may do, see `Workers`.
        open_model: opens the model of `--augment masked_lm`.
    """
    pseudo = pseudo_labels_of(tokenizer) if config.legacy and config.do_NER else ()
    task = open_task(config.task, do_NER=config.do_NER, do_pairwise=config.do_pairwise, pseudo_labels=pseudo)
    sets = read_labelled_sets(task, config.task, tokenizer, config.seq_len, config.legacy)
    weights = class_weights(config.class_weight, task.labels, sets[0].features)
    on_chief(lambda: _write_rows(config, task, tokenizer, store, open_model))
    rows = os.path.join(store, ROWS)
    return Corpus(task, tokenizer, *sets, open_transfer_rows(rows), store, weights, open_augmented(rows))


def _write_rows(config: DistilConfig, task: Task, tokenizer: Tokenizer, store: str, open_model: OpenModel) -> None:
    """Puts the encoded transfer set into `store`, if it is not there yet; a faulty file leaves nothing behind."""
    folder = os.path.join(store, ROWS)
    if os.path.isdir(folder):
        return
    with locked(store, wait=True):
        if os.path.isdir(folder):  # another run has just written it
            return
        examples, augmented = task.iter_unlabelled(config.transfer_file), Augmented()
        if config.augment:
            examples = chain(examples, augmented_examples(config, task, tokenizer, open_model, augmented))
        with new_folder(folder) as partial:
            write_transfer_rows(
                partial,
                task,
                examples,
                tokenizer,
                config.seq_len,
                chunk_size=config.distil_chunk_size,
                seed=DEALING_SEED,
                legacy=config.legacy,
            )
            if config.augment:
                augmented.save(partial)


def store_of(config: DistilConfig, tokenizer: Tokenizer) -> str:
    """The folder of a transfer set's rows and of what teachers say of them, below `teacher_outputs_dir`.

    Its name is made of all that decides the rows, so that runs with other students, or other teachers, find them.
    """
    parts = [fingerprint(find_file(config.transfer_file)), tokenizer.fingerprint()]
    parts += [config.seq_len, config.do_NER, config.do_pairwise, config.legacy, config.distil_chunk_size]
    parts += [config.seed, *augmentation_settings(config).values()] if config.augment else []
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:KEY_LETTERS]
    return os.path.join(config.teacher_outputs_dir or os.path.join(config.teacher_model_dir, TARGETS), key)


def data_fingerprint(config: DistilConfig) -> dict[str, str | int]:
    """sha256 of each file that the run reads, by its role; and what is made of the transfer file."""
    transfer = {"transfer": fingerprint(find_file(config.transfer_file))}
    return task_fingerprint(config.task) | transfer | augmentation_settings(config)
