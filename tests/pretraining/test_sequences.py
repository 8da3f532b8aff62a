"""Rows of a corpus: lines, the packed stream, what is held out, and sequences as rectangles; worked by hand."""

import numpy as np
import pytest

from tests.corpus_fixtures import END, PAD, START, UNK, store_of
from xtremedistil.errors import InputError
from xtremedistil.pretraining.corpus import sequences as sequences_module
from xtremedistil.pretraining.corpus.reader import CorpusReader
from xtremedistil.pretraining.corpus.sequences import (
    CorpusSequences,
    line_sequences,
    packed_sequences,
    require_sequences,
)
from xtremedistil.pretraining.corpus.token_store import TokenStore


def slices(store: TokenStore, sequences: CorpusSequences) -> list[list[int]]:
    return [
        store.tokens[start : start + length].tolist()
        for start, length in zip(sequences.starts, sequences.lengths, strict=True)
    ]


def read(store: TokenStore, sequences: CorpusSequences, start=(START,), end=(END,), token_map=None) -> list[list[int]]:
    reader = CorpusReader(store, sequences, start, end, PAD, token_map)
    ids, attention_mask = reader.read(np.arange(len(sequences)))
    assert (ids[~attention_mask] == PAD).all()
    return [row[there].tolist() for row, there in zip(ids, attention_mask, strict=True)]


LONG = [10, 11, 12, 13, 14, 15, 16]


def test_line_sequences_cut_long_lines_and_drop_short_ones():
    store = store_of([20, 21, 22], [23, 24], LONG)
    # Room 4: three tokens stay, two are too few, seven are cut into four and three.
    assert slices(store, line_sequences(store, 4)) == [[20, 21, 22], [10, 11, 12, 13], [14, 15, 16]]
    # Room 3: the last token of seven is alone.
    assert slices(store, line_sequences(store, 3)) == [[20, 21, 22], [10, 11, 12], [13, 14, 15]]
    assert slices(store, line_sequences(store, 7, shortest=4)) == [LONG]
    assert slices(store, line_sequences(store, 7, shortest=1)) == [[20, 21, 22], [23, 24], LONG]


def test_line_sequences_drop_those_of_which_half_is_unknown():
    store = store_of([UNK, 20, UNK, 21], [UNK, 20, 21], [20, 21, 22, UNK, UNK, 23])
    assert slices(store, line_sequences(store, 6, unk_id=UNK)) == [[UNK, 20, 21], [20, 21, 22, UNK, UNK, 23]]
    # Cut at three: the second half of the last line is two thirds unknown.
    assert slices(store, line_sequences(store, 3, unk_id=UNK)) == [[UNK, 20, 21], [20, 21, 22]]
    assert len(line_sequences(store, 6)) == 3


def test_line_sequences_are_the_same_block_by_block(monkeypatch):
    generator = np.random.default_rng(0)
    store = store_of(*[generator.choice([UNK, 20, 21], generator.integers(1, 9)).tolist() for _ in range(60)])
    whole = line_sequences(store, 4, 2, UNK)
    for size in (1, 5, 17):
        monkeypatch.setattr(sequences_module, "TOKENS_AT_A_TIME", size)
        in_blocks = line_sequences(store, 4, 2, UNK)
        assert in_blocks.starts.tolist() == whole.starts.tolist()
        assert in_blocks.lengths.tolist() == whole.lengths.tolist()
    assert (whole.starts.dtype, whole.lengths.dtype) == (np.int64, np.int32)


def test_corpus_without_rows_is_refused():
    with pytest.raises(InputError, match="(?s)fewer than 3 tokens, .*whole sentences"):
        line_sequences(store_of([20, 21], [22]), 8)


def test_packed_sequences_cut_the_stream_and_keep_the_rest():
    store = store_of([20, 21, 22], LONG)  # 20 21 22 END 10 | 11 12 13 14 15 | 16 END
    assert slices(store, packed_sequences(store, 5)) == [[20, 21, 22, END, 10], [11, 12, 13, 14, 15], [16, END]]
    assert slices(store, packed_sequences(store, 4))[0] == [20, 21, 22, END]


def test_rows_are_read_with_one_start_and_one_end():
    store = store_of([20, 21, 22], LONG)
    assert read(store, line_sequences(store, 4)) == [
        [START, 20, 21, 22, END],
        [START, 10, 11, 12, 13, END],
        [START, 14, 15, 16, END],
    ]
    # The first slice ends where its line does, the second does not, the third does.
    assert read(store, packed_sequences(store, 4)) == [
        [START, 20, 21, 22, END],
        [START, 10, 11, 12, 13, END],
        [START, 14, 15, 16, END],
    ]
    assert read(store, packed_sequences(store, 5))[0] == [START, 20, 21, 22, END, 10, END]


def test_rows_of_tokenizers_without_start_or_end_are_the_slices():
    store = store_of([20, 21, 22], LONG, end=())
    assert read(store, line_sequences(store, 4), (), ()) == [[20, 21, 22], [10, 11, 12, 13], [14, 15, 16]]
    assert read(store, line_sequences(store, 4), (START,), ())[0] == [START, 20, 21, 22]


def test_no_sequence_is_longer_than_its_room_and_special_tokens():
    store = store_of(*[[20] * length for length in range(1, 30)])
    for sequences in (line_sequences(store, 6, 1), packed_sequences(store, 6)):
        lengths = [len(row) for row in read(store, sequences)]
        assert max(lengths) == 8
        assert all(row[-1] == END and row[-2:] != [END, END] for row in read(store, sequences) if len(row) > 2)
        assert (np.array(lengths) <= CorpusReader(store, sequences, (START,), (END,), PAD).lengths).all()


def test_tokens_are_read_under_the_names_of_a_trimmed_vocabulary():
    token_map = np.full(50, 9, np.int32)
    token_map[[20, 21, 22, END]] = [6, 7, 8, 4]
    store = store_of([20, 21, 22], [23, 20, 21])
    expected = [[5, 6, 7, 8, 4], [5, 9, 6, 7, 4]]
    assert read(store, line_sequences(store, 4), (5,), (4,), token_map) == expected
    assert read(store, packed_sequences(store, 4), (5,), (4,), token_map) == expected


def test_full_widths_are_multiples_of_eight_up_to_the_longest_row():
    store = store_of([20] * 5, [20] * 8, [20] * 17)
    reader = CorpusReader(store, line_sequences(store, 17), (START,), (END,), PAD)
    widths = [reader.read(np.array([row]), full=full)[0].shape[1] for full in (False, True) for row in range(3)]
    assert widths == [7, 10, 19, 8, 16, 19]


@pytest.mark.parametrize("count, expected", [(2, 1), (99, 1), (250, 2), (200_000, 1000)])
def test_split_holds_a_hundredth_out(count, expected):
    sequences = CorpusSequences(np.arange(count), np.full(count, 5, np.int32))
    train, held_out = sequences.split(seed=3)
    assert (len(train), len(held_out)) == (count - expected, expected)
    assert np.array_equal(np.sort(np.concatenate([train.starts, held_out.starts])), sequences.starts)
    assert (np.diff(train.starts) > 0).all() and (np.diff(held_out.starts) > 0).all()


def test_split_is_a_function_of_the_seed():
    sequences = CorpusSequences(np.arange(5000), np.full(5000, 5, np.int32))
    first, same, other = (sequences.split(seed)[1].starts.tolist() for seed in (3, 3, 4))
    assert first == same != other


def test_split_of_a_single_row_has_it_on_both_sides():
    train, held_out = CorpusSequences(np.array([7]), np.array([5], np.int32)).split(0)
    assert train.starts.tolist() == held_out.starts.tolist() == [7]


def test_fewer_rows_than_a_batch_are_refused():
    sequences = packed_sequences(store_of([20] * 11), 4)
    require_sequences(sequences, 3)
    with pytest.raises(InputError, match="(?s)3 sequences to train on, fewer than the 4 of one step.*more text"):
        require_sequences(sequences, 4)
