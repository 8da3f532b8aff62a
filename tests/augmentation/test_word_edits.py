from collections import Counter
from functools import partial

import numpy as np
import pytest

from xtremedistil.augmentation.word_edits import (
    AUGMENTERS,
    augment_lines,
    deleting,
    long_disorder,
    masking,
    n_gram_sampling,
    short_disorder,
)

MANY = 20_000
TEXT = [str(number) for number in range(MANY)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def tolerance(probability: float, draws: int) -> float:
    """Four standard deviations of a share."""
    return 4 * (probability * (1 - probability) / draws) ** 0.5


@pytest.mark.parametrize("name", AUGMENTERS)
def test_augmenter_gives_the_same_for_the_same_seed_and_leaves_its_input(name):
    words = [*"abcdefghijklmnopqrstuvwxyz"] * 10
    before = list(words)
    results = [AUGMENTERS[name](words, rng(seed)) for seed in (1, 1, 2)]
    assert results[0] == results[1] != results[2]
    assert words == before


@pytest.mark.parametrize("name", AUGMENTERS)
@pytest.mark.parametrize("length", range(7))
def test_augmenter_of_a_short_text_keeps_some_of_it(name, length):
    words = tuple("abcdef"[:length])
    for seed in range(100):
        result = AUGMENTERS[name](words, rng(seed))
        assert isinstance(result, list)
        assert bool(result) == bool(words)
        assert set(result) <= {*words, "[MASK]"}


@pytest.mark.parametrize("length", range(8))
@pytest.mark.parametrize(
    "disorder",
    [
        partial(short_disorder, probabilities=(0.2,) * 5),
        partial(long_disorder, probability=0.5, length=3),
        partial(long_disorder, probability=0.5, length=0.6),
        partial(long_disorder, probability=0.5, length=1),
    ],
)
def test_disorder_keeps_the_multiset_of_words(disorder, length):
    words = [*"abacada"[:length]]
    for seed in range(50):
        assert Counter(disorder(words, rng(seed))) == Counter(words)


def test_masking_replaces_the_share_of_words_that_was_asked_for():
    result = masking(TEXT, rng(), probability=0.3, mask="?")
    assert all(new in (old, "?") for new, old in zip(result, TEXT, strict=True))
    assert result.count("?") / MANY == pytest.approx(0.3, abs=tolerance(0.3, MANY))


def test_deleting_leaves_out_the_share_of_words_that_was_asked_for():
    result = deleting(TEXT, rng(), probability=0.3)
    assert result == sorted(result, key=int)
    assert 1 - len(result) / MANY == pytest.approx(0.3, abs=tolerance(0.3, MANY))


def test_deleting_everything_keeps_one_word_any_of_them_alike():
    left = Counter(tuple(deleting("abcd", rng(seed), probability=1.0)) for seed in range(2000))
    assert set(left) == {("a",), ("b",), ("c",), ("d",)}
    for count in left.values():
        assert count / 2000 == pytest.approx(0.25, abs=tolerance(0.25, 2000))


def test_n_gram_sampling_draws_lengths_and_starts_with_their_probabilities():
    generator = rng()
    spans = [n_gram_sampling("abcd", generator, lengths=(1, 3), probabilities=(0.25, 0.75)) for _ in range(4000)]
    # Length 1 starts at 4 places, 0.25 / 4 each; length 3 at 2 places, 0.75 / 2 each.
    expected = dict.fromkeys("abcd", 0.25 / 4) | dict.fromkeys(("abc", "bcd"), 0.75 / 2)
    shares = Counter("".join(span) for span in spans)
    assert set(shares) == set(expected)
    for span, probability in expected.items():
        assert shares[span] / 4000 == pytest.approx(probability, abs=tolerance(probability, 4000))


def test_n_gram_longer_than_the_text_gives_the_text():
    assert n_gram_sampling(["a", "b"], rng(), lengths=(9,)) == ["a", "b"]


@pytest.mark.parametrize(
    "kind, expected", list(enumerate(["abcdefgh", "badcfehg", "cbafedhg", "cabfdehg", "bcaefdhg"]))
)
def test_short_disorder_of_one_kind_permutes_group_by_group_and_swaps_the_last_two(kind, expected):
    probabilities = [float(place == kind) for place in range(5)]
    assert "".join(short_disorder("abcdefgh", rng(), probabilities=probabilities)) == expected


def test_short_disorder_draws_kinds_with_their_probabilities():
    generator, counts = rng(), Counter()
    for _ in range(4000):
        counts["".join(short_disorder("abc", generator, probabilities=(0.4, 0.3, 0.15, 0.1, 0.05)))] += 1
    # After an "a" that stays (0.4), the last two stay with 0.4 and are swapped with 0.6.
    expected = {"abc": 0.4 * 0.4, "acb": 0.4 * 0.6, "bac": 0.3, "cba": 0.15, "cab": 0.1, "bca": 0.05}
    assert set(counts) == set(expected)
    for text, probability in expected.items():
        assert counts[text] / 4000 == pytest.approx(probability, abs=tolerance(probability, 4000))


@pytest.mark.parametrize(
    "length, expected",
    [
        (4, "cdabghefij"),
        (3, "cdabghefij"),
        (0.4, "cdabghefij"),
        (1, "fghijabcde"),
        (11, "abcdefghij"),
        (0.05, "abcdefghij"),
    ],
)
def test_long_disorder_that_always_hits_swaps_halves_window_by_window(length, expected):
    assert "".join(long_disorder("abcdefghij", rng(), probability=1.0, length=length)) == expected


def test_long_disorder_hits_with_its_probability_and_steps_behind_a_hit():
    moved = long_disorder(TEXT, rng(), probability=0.2, length=2)
    swaps = sum(int(word) == place + 1 for place, word in enumerate(moved))
    # A hit takes two words and a miss one: of the windows looked at, hits / (MANY - hits) are hits.
    assert swaps / (MANY - swaps) == pytest.approx(0.2, abs=tolerance(0.2, MANY - swaps))


@pytest.mark.parametrize("augment", [masking, deleting, long_disorder])
@pytest.mark.parametrize("probability", [-0.1, 10, float("nan")])
def test_probability_outside_0_to_1_is_refused(augment, probability):
    with pytest.raises(ValueError, match="expected 0 to 1"):
        augment(["a"], rng(), probability=probability)


def test_long_disorder_without_a_window_is_refused():
    with pytest.raises(ValueError, match="length is 0"):
        long_disorder(["a", "b"], rng(), length=0)


def numbered(count: int) -> list[tuple[int, list[list[str]]]]:
    return [(number, [[*"abcdefghijklmnopqrstuvwxyz"]]) for number in range(1, count + 1)]


@pytest.mark.parametrize("name", AUGMENTERS)
def test_augmented_lines_do_not_depend_on_order_or_chunks(name):
    lines, augmenters = numbered(30), [AUGMENTERS[name]]
    whole = dict(augment_lines(lines, augmenters, seed=4))
    assert dict(augment_lines(reversed(lines), augmenters, seed=4)) == whole
    halves = [dict(augment_lines(half, augmenters, seed=4)) for half in (lines[:7], lines[7:])]
    assert halves[0] | halves[1] == whole
    assert dict(augment_lines(lines, augmenters, seed=5)) != whole


def test_equal_lines_are_augmented_each_in_its_own_way():
    results = augment_lines(numbered(30), [partial(masking, probability=0.5)], seed=0)
    assert len({tuple(words) for _, [[words]] in results}) > 25


def test_more_copies_leave_the_first_ones_as_they_are():
    few, many = (dict(augment_lines(numbered(9), [*AUGMENTERS.values()], seed=2, copies=copies)) for copies in (2, 5))
    assert {number: copies[:2] for number, copies in many.items()} == few
    assert {len(copies) for copies in many.values()} == {5}


def test_copies_are_of_all_augmenters_alike():
    augmenters = [lambda words, rng, name=name: [name] for name in "ab"]
    [(_, copies)] = augment_lines(numbered(1), augmenters, seed=0, copies=2000)
    assert copies.count([["a"]]) / 2000 == pytest.approx(0.5, abs=tolerance(0.5, 2000))


def test_sides_of_a_pair_are_augmented_by_one_augmenter_each_for_itself():
    pair = (1, [[*"abcdefgh"], [*"abcdefgh"]])
    [(_, copies)] = augment_lines([pair], [deleting, masking], seed=0, copies=50)
    assert all(("[MASK]" in one) <= (len(other) == 8) for one, other in [*copies, *map(reversed, copies)])
    assert any(one != other for one, other in copies)


def test_augment_lines_reads_only_what_is_asked_for():
    def lines():
        yield 1, [["a", "b"]]
        raise AssertionError("read too far")

    assert next(augment_lines(lines(), [short_disorder], seed=0))[0] == 1
