"""What a pre-training run reads: the corpus as sequences of the student's tokens, some of them held out."""

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from xtremedistil.console.progress import Progress
from xtremedistil.data.padding import Arrays
from xtremedistil.pretraining.config import ALL_OF_THE_CORPUS
from xtremedistil.pretraining.corpus.batches import CorpusBatches
from xtremedistil.pretraining.corpus.files import corpus_paths
from xtremedistil.pretraining.corpus.masking import MaskingConfig, masking_config
from xtremedistil.pretraining.corpus.reader import CorpusReader
from xtremedistil.pretraining.corpus.sequences import (
    CorpusSequences,
    line_sequences,
    packed_sequences,
    require_sequences,
)
from xtremedistil.pretraining.corpus.store_writer import store_key
from xtremedistil.pretraining.corpus.token_store import TokenStore, open_token_store, write_token_store
from xtremedistil.pretraining.plan import CorpusPlan, PretrainPlan
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.tokenization.trimmed_tokenizer import trimmed_tokenizer
from xtremedistil.tokenization.vocabulary import kept_tokens, piece_map, tokens_from_file
from xtremedistil.training.workers import Workers

HELD_OUT_SEED = 0
KEY_CHARACTERS = 16  # of a store, in the name of its folder
TRIMMED = "-trimmed"  # after the name of the folder of a corpus that the student's tokenizer cut


@dataclass(frozen=True)
class PretrainCorpus:
    """The sequences of a run.

    Fields:
        tokenizer: the student's. kept: the teacher's tokens that it has, int64 [K]; None: all.
        train, held_out: sequences. masking: how tokens are masked; None: the next token is predicted, or none.
        key: sha256 of text and tokenizer.
        batch_size: of all devices together. per_step: batches of an update.
        on_all_tokens, predicts: as in `CorpusBatches`.
    """

    tokenizer: Tokenizer
    kept: np.ndarray | None
    train: CorpusReader
    held_out: CorpusReader
    masking: MaskingConfig | None
    key: str
    batch_size: int
    per_step: int
    on_all_tokens: bool
    predicts: bool

    @property
    def tokens(self) -> int:
        """Positions of all sequences that are trained on."""
        return int(self.train.lengths.sum())

    @property
    def steps_per_pass(self) -> int:
        return self.batches(1, 0).steps_per_pass

    def batches(self, steps: int, seed: int) -> CorpusBatches:
        """Batches to train on; `steps` between two scores."""
        return CorpusBatches(
            self.train, self.batch_size, steps, seed, self.masking, self.per_step, self.on_all_tokens, self.predicts
        )

    def labelled_batches(self, steps: int, seed: int) -> CorpusBatches:
        """The same, with logits of labelled tokens alone."""
        return dataclasses.replace(self.batches(steps, seed), on_all_tokens=False)

    def held_out_batches(self) -> list[Arrays]:
        """The same tokens are masked in each call."""
        batches = CorpusBatches(
            self.held_out, self.batch_size, 1, HELD_OUT_SEED, self.masking, 1, self.on_all_tokens, self.predicts
        )
        return batches.evaluation_batches()


def open_corpus(plan: PretrainPlan, folder: str, workers: Workers, replicas: int, progress: Progress) -> PretrainCorpus:
    """Tokenises the corpus into `folder`, as far as that was not done before, and makes sequences of it.

    Args:
        folder: one below `plan.corpus.folder` takes its place, if there is one.

    Raises:
        InputError: a file cannot be used, or there is less text than a batch takes.
    """
    tokenizer, kept, cut_by, store = _tokenised(plan, partial(_store, plan.corpus, folder, workers, progress))
    token_map = None if cut_by is tokenizer else piece_map(kept, cut_by.size, tokenizer.pad_id)  # no others occur
    train, held_out = _sequences(plan.corpus, cut_by, store).split(plan.seed)
    batch_size, per_step = plan.updates.batch_size * replicas, plan.updates.gradient_accumulation_steps
    require_sequences(train, batch_size * per_step)
    around = tuple(tokenizer.start_ids), tuple(tokenizer.end_ids), tokenizer.pad_id, token_map
    counts = store.counts if token_map is None else store.counts[kept]
    masking = plan.corpus.masking
    return PretrainCorpus(
        tokenizer,
        kept,
        CorpusReader(store, train, *around),
        CorpusReader(store, held_out, *around),
        masking_config(tokenizer, counts, **dataclasses.asdict(masking)) if masking else None,
        store.key,
        batch_size,
        per_step,
        plan.corpus.on_all_tokens,
        plan.corpus.predicts,
    )


def _store(
    corpus: CorpusPlan, folder: str, workers: Workers, progress: Progress, tokenizer: Tokenizer, name: str = ""
) -> TokenStore:
    """The corpus as tokens, made as far as it is not there; runs that share a folder may read other texts.

    Args:
        name: added to that of the folder.
    """
    paths, folder = corpus_paths(corpus.files), folder + name
    if corpus.folder:
        folder = os.path.join(corpus.folder, store_key(tokenizer, paths)[:KEY_CHARACTERS])
    workers.on_chief(lambda: write_token_store(folder, tokenizer, paths, progress.count("reading the corpus")))
    return open_token_store(folder)


def _tokenised(
    plan: PretrainPlan, store_of: Callable[..., TokenStore]
) -> tuple[Tokenizer, np.ndarray | None, Tokenizer, TokenStore]:
    """The student's tokenizer and what it has of the teacher's tokens (None: all); the corpus, and what cut it.

    The teacher's tokenizer finds out which tokens occur. Where some that do are left out, their words become shorter
    ones, as when the student is used: its own tokenizer cuts the corpus then.
    """
    teachers = Tokenizer.load(plan.teacher)
    if plan.corpus.vocabulary is None:
        return teachers, None, teachers, store_of(teachers)
    if plan.corpus.vocabulary == ALL_OF_THE_CORPUS:
        store = store_of(teachers)
        kept = kept_tokens(teachers, store.counts, plan.corpus.min_count)
        tokenizer = trimmed_tokenizer(teachers, kept)
        if store.counts[kept].sum() == store.counts.sum():
            return tokenizer, kept, teachers, store
    else:
        kept = tokens_from_file(plan.corpus.vocabulary, teachers)
        tokenizer = trimmed_tokenizer(teachers, kept)
    return tokenizer, kept, tokenizer, store_of(tokenizer, TRIMMED)


def _sequences(corpus: CorpusPlan, tokenizer: Tokenizer, store: TokenStore) -> CorpusSequences:
    room = tokenizer.room(corpus.seq_len)
    return packed_sequences(store, room) if corpus.packed else line_sequences(store, room, unk_id=tokenizer.unk_id)
