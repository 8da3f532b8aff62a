"""Small corpora in memory, and batches of them."""

import numpy as np

from xtremedistil.pretraining.corpus.batches import CorpusBatches
from xtremedistil.pretraining.corpus.masking import MaskingConfig, token_weights
from xtremedistil.pretraining.corpus.reader import CorpusReader
from xtremedistil.pretraining.corpus.sequences import line_sequences, packed_sequences
from xtremedistil.pretraining.corpus.token_store import TokenStore

PAD, UNK, START, END = 0, 1, 2, 3
MASK, CORPUS_WORDS = 4, 50
MASKING = MaskingConfig(
    token_weights(np.ones(CORPUS_WORDS, int), range(5)), MASK, np.arange(5, CORPUS_WORDS), share=0.3
)
ROOM = 9


def store_of(*lines, end=(END,)) -> TokenStore:
    closed = [[*line, *end] for line in lines]
    offsets = np.concatenate([[0], np.cumsum([len(line) for line in closed])]).astype(np.int64)
    tokens = np.array([token for line in closed for token in line], np.uint16)
    return TokenStore(tokens, offsets, np.bincount(tokens, minlength=50), tuple(end), "key")


def make_store(lines: int = 21):
    """Lines of 3 to 9 tokens; each row is told by its first two."""
    generator = np.random.default_rng(1)
    rows = [
        [5 + number // 40, 5 + number % 40, *generator.integers(5, CORPUS_WORDS, 1 + number % 7)]
        for number in range(lines)
    ]
    return store_of(*rows)


def make_batches(
    lines: int = 21, packed: bool = False, masking: MaskingConfig | None = MASKING, **changes
) -> CorpusBatches:
    store = make_store(lines)
    sequences = packed_sequences(store, ROOM) if packed else line_sequences(store, ROOM)
    settings = {"batch_size": 4, "steps": 3, "seed": 7} | changes
    return CorpusBatches(CorpusReader(store, sequences, (START,), (END,), PAD), masking=masking, **settings)
