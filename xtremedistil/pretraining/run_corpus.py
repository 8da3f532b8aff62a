"""What a pre-training run reads: the corpus as rows, in the student's vocabulary, some of them held out."""

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
from xtremedistil.pretraining.corpus.masking import Hiding, hiding_of
from xtremedistil.pretraining.corpus.reader import CorpusReader
from xtremedistil.pretraining.corpus.rows import CorpusRows, line_rows, packed_rows, require_rows
from xtremedistil.pretraining.corpus.store_writer import store_key
from xtremedistil.pretraining.corpus.token_store import TokenStore, open_token_store, write_token_store
from xtremedistil.pretraining.plan import CorpusPlan, PretrainPlan
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.tokenization.trimmed_tokenizer import trimmed_tokenizer
from xtremedistil.tokenization.vocabulary import kept_tokens, piece_map, tokens_from_file
from xtremedistil.training.workers import Workers

HELD_OUT_SEED = 0
KEY_CHARACTERS = 16  # of a store, in the name of its folder
TRIMMED = "-trimmed"  # behind the name of the folder of a corpus that the student's tokenizer cut


@dataclass(frozen=True)
class PretrainCorpus:
    """The rows of a run.

    Fields:
        tokenizer: the student's. kept: the teacher's tokens that it has, int64 [K]; None: all.
        train, held_out: rows. hiding: how tokens are hidden; None: the next token is asked for, or none.
        key: says of which text and tokenizer they are.
        batch_size: rows of a batch, over all devices. per_step: batches of an update.
        everywhere: whether predictions are asked for at all positions. intact: whether at none, and nothing is hidden.
    """

    tokenizer: Tokenizer
    kept: np.ndarray | None
    train: CorpusReader
    held_out: CorpusReader
    hiding: Hiding | None
    key: str
    batch_size: int
    per_step: int
    everywhere: bool
    intact: bool

    @property
    def pieces(self) -> int:
        """Positions of all rows that are learnt from."""
        return int(self.train.lengths.sum())

    @property
    def steps_per_pass(self) -> int:
        return self.batches(1, 0).steps_per_pass

    def batches(self, steps: int, seed: int) -> CorpusBatches:
        """To learn from; `steps` between two scores."""
        return CorpusBatches(
            self.train, self.batch_size, steps, seed, self.hiding, self.per_step, self.everywhere, self.intact
        )

    def word_batches(self, steps: int, seed: int) -> CorpusBatches:
        """The same, where predictions are asked for at hidden tokens alone."""
        return dataclasses.replace(self.batches(steps, seed), everywhere=False)

    def held_out_batches(self) -> list[Arrays]:
        """Always the same tokens are hidden in them."""
        batches = CorpusBatches(
            self.held_out, self.batch_size, 1, HELD_OUT_SEED, self.hiding, 1, self.everywhere, self.intact
        )
        return batches.evaluation_batches()


def open_corpus(plan: PretrainPlan, folder: str, workers: Workers, replicas: int, progress: Progress) -> PretrainCorpus:
    """Tokenises the corpus into `folder`, as far as that was not done before, and makes rows of it.

    Args:
        folder: one below `plan.corpus.folder` takes its place, if there is one.

    Raises:
        InputError: a file cannot be used, or there is less text than a batch takes.
    """
    tokenizer, kept, cut_by, store = _tokenised(plan, partial(_store, plan.corpus, folder, workers, progress))
    pieces = None if cut_by is tokenizer else piece_map(kept, cut_by.size, tokenizer.pad_id)  # no others occur
    train, apart = _rows(plan.corpus, cut_by, store).split(plan.seed)
    batch_size, per_step = plan.updates.batch_size * replicas, plan.updates.gradient_accumulation_steps
    require_rows(train, batch_size * per_step)
    around = tuple(tokenizer.start_ids), tuple(tokenizer.end_ids), tokenizer.pad_id, pieces
    counts = store.counts if pieces is None else store.counts[kept]
    masking = plan.corpus.masking
    return PretrainCorpus(
        tokenizer,
        kept,
        CorpusReader(store, train, *around),
        CorpusReader(store, apart, *around),
        hiding_of(tokenizer, counts, **dataclasses.asdict(masking)) if masking else None,
        store.key,
        batch_size,
        per_step,
        plan.corpus.on_all_tokens,
        plan.corpus.intact,
    )


def _store(
    corpus: CorpusPlan, folder: str, workers: Workers, progress: Progress, tokenizer: Tokenizer, name: str = ""
) -> TokenStore:
    """The corpus as tokens, made as far as it is not there; runs that share `corpus_dir` may be of other texts.

    Args:
        name: behind that of the folder.
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


def _rows(corpus: CorpusPlan, tokenizer: Tokenizer, store: TokenStore) -> CorpusRows:
    room = tokenizer.room(corpus.seq_len)
    return packed_rows(store, room) if corpus.packed else line_rows(store, room, unk_id=tokenizer.unk_id)
