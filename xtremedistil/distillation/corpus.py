"""Everything that a run reads: the task's files and the transfer file, encoded once."""

import os
from dataclasses import dataclass

import numpy as np

from xtremedistil.artefacts import fingerprint
from xtremedistil.config import DistilConfig
from xtremedistil.tasks import Task, open_task
from xtremedistil.tasks.features import Features, LabelledSet
from xtremedistil.tasks.files import find_file
from xtremedistil.tasks.tagging import pseudo_labels_of
from xtremedistil.tasks.tokenizer import Tokenizer

HELD_OUT_SHARE, MOST_HELD_OUT = 0.1, 1000


@dataclass(frozen=True)
class Corpus:
    """A task's sets and, for distillation, the transfer set.

    Fields:
        transfer: rows that are trained on; held_out: rows of the transfer set that are not, for the loss that decides
            when the representation stage ends. None without a transfer file.
    """

    task: Task
    tokenizer: Tokenizer
    train: LabelledSet
    dev: LabelledSet
    test: LabelledSet
    transfer: Features | None = None
    held_out: Features | None = None


def read_corpus(config: DistilConfig, tokenizer: Tokenizer) -> Corpus:
    """Reads and encodes all files of a distillation; a fault in any of them shows here, before any model is built."""
    pseudo = pseudo_labels_of(tokenizer) if config.legacy and config.do_NER else ()
    task = open_task(config.task, do_NER=config.do_NER, do_pairwise=config.do_pairwise, pseudo_labels=pseudo)
    sets = read_labelled_sets(task, config.task, tokenizer, config.seq_len, config.legacy)
    rows = task.read(config.transfer_file, labelled=False)
    encoded = task.encode(rows, tokenizer, config.seq_len, legacy=config.legacy)
    transfer, held_out = hold_out(encoded, config.seed)
    return Corpus(task, tokenizer, *sets, transfer, held_out)


def read_labelled_sets(task: Task, folder: str, tokenizer: Tokenizer, seq_len: int, legacy: bool) -> list[LabelledSet]:
    """Train, dev and test; the test file is read now, so that a fault in it does not show after hours."""
    sets = []
    for name in ("train", "dev", "test"):
        examples = task.read(os.path.join(folder, f"{name}.tsv"), labelled=True)
        sets.append(LabelledSet(examples, task.encode(examples, tokenizer, seq_len, legacy=legacy)))
    return sets


def hold_out(features: Features, seed: int) -> tuple[Features, Features]:
    """Splits rows into those to train on, in a seeded order, and a held-out slice (a tenth, at most 1,000)."""
    order = np.random.default_rng([seed, 0]).permutation(len(features))
    count = min(MOST_HELD_OUT, max(1, int(HELD_OUT_SHARE * len(order))))
    # A single row has to serve as both.
    kept = order[count:] if len(order) > count else order
    return features.take(kept), features.take(order[:count])


def data_fingerprint(config: DistilConfig) -> dict[str, str]:
    """sha256 of each file that the run reads, by its role."""
    names = [("train", "train.tsv"), ("dev", "dev.tsv"), ("test", "test.tsv")]
    labels = os.path.join(config.task, "labels.tsv")
    names += [("labels", "labels.tsv")] if os.path.isfile(labels) or os.path.isfile(labels + ".gz") else []
    prints = {role: fingerprint(find_file(os.path.join(config.task, name))) for role, name in names}
    return prints | {"transfer": fingerprint(find_file(config.transfer_file))}
