"""Masked tokens: which, how many, by which chances, and what replaces them."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from xtremedistil.errors import InputError
from xtremedistil.pretraining.corpus.masking import (
    MaskingConfig,
    continues_word,
    mask_tokens,
    masking_config,
    next_tokens,
    token_weights,
)
from xtremedistil.tokenization.tokenizer import Tokenizer

PAD, UNK, START, END, MASK = range(5)
SPECIAL = [PAD, UNK, START, END, MASK]
VOCABULARY = 40
FIRST = len(SPECIAL)
CONTINUES = np.arange(VOCABULARY) >= 30  # tokens 30 to 39 go on with a word


def masking(weights=None, **changes) -> MaskingConfig:
    weights = token_weights(np.ones(VOCABULARY, int), SPECIAL) if weights is None else weights
    return MaskingConfig(weights, MASK, np.arange(FIRST, VOCABULARY), **changes)


def batch(rows: int = 8, length: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of start, random tokens, end and two of padding."""
    generator = np.random.default_rng(seed)
    text = generator.integers(FIRST, VOCABULARY, (rows, length))
    edges = [np.full((rows, 1), piece) for piece in (START, END, PAD, PAD)]
    ids = np.concatenate([edges[0], text, *edges[1:]], axis=1).astype(np.int32)
    return ids, ids != PAD


def drawn(ids, scored, seed, settings) -> tuple[np.ndarray, np.ndarray]:
    return mask_tokens(ids, scored, np.random.default_rng(seed), settings)


def test_weights_are_counts_to_a_negative_power_and_zero_for_special_tokens():
    # 16 ** -0.5 is 1/4, 4 ** -0.5 is 1/2; what never occurs counts as once.
    weights = token_weights(np.array([9, 16, 4, 1, 0]), [0], exponent=0.5)
    assert weights.tolist() == [0, 0.25, 0.5, 1, 1]
    assert token_weights(np.array([9, 16, 4]), [0], exponent=0).tolist() == [0, 1, 1]
    assert token_weights(np.array([10**9]), [])[0] == pytest.approx(10**-6.3)


def test_masked_are_a_share_of_the_text_rounded_up():
    ids, scored = batch(rows=1, length=20)
    for share, expected in ((0.15, 3), (0.16, 4), (0.01, 1), (1.0, 20)):
        _, labels = drawn(ids, scored, 0, masking(share=share))
        assert (labels != -100).sum() == expected
    _, labels = drawn(*batch(rows=5, length=20), 0, masking(share=0.07))  # 0.07 * 100 = 7.000000000000001
    assert (labels != -100).sum() == 7


def test_labels_are_the_masked_tokens_and_all_else_is_left_as_it_is():
    ids, scored = batch()
    corrupted, labels = drawn(ids, scored, 1, masking())
    masked = labels != -100
    assert (labels[masked] == ids[masked]).all()
    assert (corrupted[~masked] == ids[~masked]).all()
    assert corrupted.dtype == labels.dtype == np.int32
    assert (ids == batch()[0]).all()  # what came in is untouched


@pytest.mark.parametrize("continues", [None, CONTINUES])
def test_special_tokens_and_padding_are_never_masked_nor_put_in(continues):
    ids, scored = batch()
    ids[:, 5] = UNK
    for seed in range(20):
        corrupted, labels = drawn(ids, scored, seed, masking(share=0.9, continues=continues, mask=0.0, random=0.9))
        assert not np.isin(ids[labels != -100], SPECIAL).any()
        assert not np.isin(corrupted[labels != -100], SPECIAL).any()


def test_what_is_not_scored_is_not_masked_():
    ids, _ = batch()
    scored = np.zeros(ids.shape, bool)
    scored[:, 3] = True
    _, labels = drawn(ids, scored, 0, masking(share=1.0))
    assert ((labels != -100) == scored).all()


@pytest.mark.parametrize("continues", [None, CONTINUES])
def test_batch_without_text_hides_nothing(continues):
    ids = np.array([[START, END], [START, UNK]])
    corrupted, labels = drawn(ids, np.ones((2, 2), bool), 0, masking(continues=continues))
    assert (corrupted == ids).all() and (labels == -100).all()


@pytest.mark.parametrize("continues", [None, CONTINUES])
def test_same_generator_gives_the_same_however_wide_rows_are(continues):
    ids, scored = batch()
    settings = masking(continues=continues)
    first, again, other = (drawn(ids, scored, seed, settings) for seed in (5, 5, 6))
    assert (first[0] == again[0]).all() and (first[1] == again[1]).all()
    assert (first[1] != other[1]).any()
    wide = np.pad(ids, ((0, 0), (0, 9)))
    corrupted, labels = drawn(wide, wide != PAD, 5, settings)
    assert (corrupted[:, : ids.shape[1]] == first[0]).all()
    assert (labels[:, : ids.shape[1]] == first[1]).all()


def within(found: float, expected: float, draws: int) -> bool:
    """Whether a frequency is within four standard deviations of what is expected."""
    return abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / draws)


def test_first_draw_is_in_proportion_to_the_weights():
    weights = np.zeros(VOCABULARY)
    weights[[10, 11, 12, 13]] = [1, 2, 3, 4]
    ids, draws = np.array([[10, 11, 12, 13]]), 20_000
    found = np.zeros(4)
    for seed in range(draws // 10):
        generator = np.random.default_rng(seed)
        for _ in range(10):
            found += mask_tokens(ids, ids > 0, generator, masking(weights, share=0.25))[1][0] != -100
    assert all(
        within(count / draws, expected, draws) for count, expected in zip(found, [0.1, 0.2, 0.3, 0.4], strict=True)
    )


def test_two_draws_are_one_after_the_other_without_replacement():
    weights = np.zeros(VOCABULARY)
    weights[[10, 11, 12]] = [1, 2, 3]
    ids, draws, generator = np.array([[10, 11, 12]]), 20_000, np.random.default_rng(0)
    missing = np.zeros(3)
    for _ in range(draws):
        missing += mask_tokens(ids, ids > 0, generator, masking(weights, share=0.6))[1][0] == -100
    # Left out is 10: 11 then 12 (2/6 * 3/4) or 12 then 11 (3/6 * 2/3) = 7/12; 11: 1/6 * 3/5 + 3/6 * 1/3 = 4/15;
    # 12: 1/6 * 2/5 + 2/6 * 1/4 = 3/20.
    expected = [7 / 12, 4 / 15, 3 / 20]
    assert all(within(count / draws, chance, draws) for count, chance in zip(missing, expected, strict=True))


def test_rare_tokens_are_masked_more_often():
    counts = np.ones(VOCABULARY, int)
    counts[20] = 1024  # 1024 ** -0.7 is 1/128
    ids = np.array([[20, 21] * 50])
    settings, generator = masking(token_weights(counts, SPECIAL), share=0.01), np.random.default_rng(0)
    common = sum((mask_tokens(ids, ids > 0, generator, settings)[1] == 20).sum() for _ in range(5000))
    assert within(common / 5000, 1 / 129, 5000)


def test_mask_keep_and_random_stand_by_their_shares():
    ids = np.full((100, 100), 7)
    settings = masking(share=1.0, mask=0.7, random=0.1)
    corrupted, _ = drawn(ids, ids > 0, 3, settings)
    # A random token is the one that was there in 1 of 35 cases.
    assert within((corrupted == MASK).mean(), 0.7, corrupted.size)
    assert within((corrupted == 7).mean(), 0.2 + 0.1 / 35, corrupted.size)
    others = np.setdiff1d(np.arange(FIRST, VOCABULARY), [7])
    found = np.bincount(corrupted.reshape(-1), minlength=VOCABULARY)[others] / corrupted.size
    assert all(within(share, 0.1 / 35, corrupted.size) for share in found)


def words_of(row: np.ndarray) -> list[list[int]]:
    """Positions of each word of a row of text, start and end tokens left out."""
    places = [place for place, piece in enumerate(row) if piece not in SPECIAL]
    words: list[list[int]] = []
    for before, place in pairwise([-2, *places]):
        if before + 1 == place and CONTINUES[row[place]]:
            words[-1].append(place)
        else:
            words.append([place])
    return words


def test_whole_words_are_never_split():
    ids, scored = batch(rows=16, length=30)
    ids[:, 9] = UNK  # what continues a word behind it begins one
    for seed in range(20):
        _, labels = drawn(ids, scored, seed, masking(continues=CONTINUES))
        masked = labels != -100
        for row, flags in zip(ids, masked, strict=True):
            assert all(len({bool(flags[place]) for place in word}) == 1 for word in words_of(row))
        longest = max(len(word) for row in ids for word in words_of(row))
        budget = np.ceil(0.15 * 16 * 29)
        assert budget <= masked.sum() < budget + longest


def test_words_do_not_go_on_over_the_edge_of_a_row():
    ids = np.array([[10, 30], [31, 11]])  # no special token between them
    found = set()
    for seed in range(100):
        _, labels = drawn(ids, np.ones((2, 2), bool), seed, masking(continues=CONTINUES, share=0.25))
        found.add(tuple((labels != -100).reshape(-1).tolist()))
    assert found == {(True, True, False, False), (False, False, True, False), (False, False, False, True)}


def test_words_are_drawn_by_the_mean_weight_of_their_tokens():
    weights = np.zeros(VOCABULARY)
    weights[[10, 30, 11]] = [5, 1, 1]  # means 3 and 1
    ids, draws, generator = np.array([[10, 30, 11]]), 10_000, np.random.default_rng(0)
    settings = masking(weights, share=0.01, continues=CONTINUES)
    single = sum(mask_tokens(ids, ids > 0, generator, settings)[1][0, 2] != -100 for _ in range(draws))
    assert within(single / draws, 0.25, draws)


def continuing(tokenizer: Tokenizer, text: str) -> list[str]:
    """The tokens of a text that go on with a word."""
    pieces = np.array(tokenizer.encode_flat([[text]])[0])
    return tokenizer.tokens(pieces[continues_word(tokenizer)[pieces]])


def test_word_piece_marks_what_continues_a_word(word_piece_folder):
    tokenizer = Tokenizer.load(word_piece_folder)
    assert continuing(tokenizer, "the unbelievable cats .") == ["##believ", "##able", "##s"]
    assert not continues_word(tokenizer)[tokenizer.special_ids].any()


@pytest.mark.parametrize("folder, mark", [("byte_level_folder", "Ġ"), ("sentence_piece_folder", "▁")])
def test_tokens_without_space_mark_continue_a_word(request, folder, mark):
    tokenizer = Tokenizer.load(request.getfixturevalue(folder))
    pieces = tokenizer.encode_flat([["a unbelievable town"]])[0]
    tokens = tokenizer.tokens(pieces)
    expected = [token for token in tokens if not token.startswith(mark)]
    assert continuing(tokenizer, "a unbelievable town") == expected
    assert 0 < len(expected) < len(tokens)
    assert not continues_word(tokenizer)[tokenizer.special_ids].any()


def test_tokens_that_tell_of_the_next_one_are_refused():
    tokens = ["<unk>", "the</w>", "un", "able</w>", "##"]
    tokenizer = SimpleNamespace(name="gpt", size=5, special_ids=[0], tokens=lambda ids: [tokens[i] for i in ids])
    with pytest.raises(InputError, match="do not tell where a word begins"):
        continues_word(tokenizer)


def test_masking_of_a_tokenizer_knows_its_special_tokens(word_piece_folder):
    tokenizer = Tokenizer.load(word_piece_folder)
    counts = np.full(tokenizer.size, 16)
    made = masking_config(tokenizer, counts, exponent=0.5, whole_words=True, share=0.3)
    assert made.weights.tolist() == [0] * 5 + [0.25] * (tokenizer.size - 5)
    assert made.replacements.tolist() == list(range(5, tokenizer.size))
    assert (made.mask_id, made.share, made.continues.sum()) == (4, 0.3, 6)
    assert masking_config(tokenizer, counts).continues is None


def test_hiding_needs_a_mask_piece_and_sensible_shares(gpt2_folder):
    with pytest.raises(InputError, match="no mask token"):
        masking_config(Tokenizer.load(gpt2_folder), np.ones(400))
    with pytest.raises(ValueError, match="0 to 1 together"):
        masking(mask=0.95)
    with pytest.raises(ValueError, match="share of masked tokens is 0"):
        masking(share=0)


def test_next_tokens_are_those_behind():
    ids = np.array([[START, 10, 11, END], [START, 12, END, PAD], [START, PAD, PAD, PAD]])
    labels = next_tokens(ids, np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]], bool))
    assert labels.tolist() == [[10, 11, END, -100], [12, END, -100, -100], [-100] * 4]
    assert labels.dtype == np.int32
