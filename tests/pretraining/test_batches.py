"""Batches of a corpus: order, what is masked, shares of devices, and what `fit` asks of them."""

import itertools

import numpy as np
import pytest

from tests.corpus_fixtures import CORPUS_WORDS, MASK, MASKING, PAD, ROOM, make_batches
from xtremedistil.pretraining.corpus.batches import CorpusBatch
from xtremedistil.pretraining.corpus.masking import MaskingConfig
from xtremedistil.training.batching import epoch_order

KINDS = {"input_ids": np.int32, "attention_mask": np.int32, "token_type_ids": np.int32, "row_mask": np.float32}
KINDS |= {"predicted": np.int32, "predicted_mask": np.float32, "labels": np.int32}


def restored(share: dict) -> np.ndarray:
    """The input of a share, with masked tokens put back."""
    ids = share["input_ids"].copy()
    scored = share["labels"] != -100
    ids.flat[share["predicted"][scored]] = share["labels"][scored]
    return ids


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def all_same(ones, others) -> bool:
    return all(len(one) == len(other) and all(map(same, one, other)) for one, other in zip(ones, others, strict=True))


def masked_of(shares: list[dict]) -> dict[tuple[int, ...], int]:
    """Labels of a step by row of its batch and position, from the shares of all replicas."""
    found, before = {}, 0
    for share in shares:
        rows, width = share["input_ids"].shape
        places = share["predicted"][share["labels"] != -100]
        labels = share["labels"][share["labels"] != -100]
        found |= {(before + place // width, place % width): label for place, label in zip(places, labels, strict=True)}
        before += rows
    return found


def test_batch_holds_rows_with_masked_tokens_and_where_they_stand():
    batches = make_batches()
    rows = np.array([6, 0])
    batch = batches.arrays_without_targets(CorpusBatch(rows, 5))
    assert {name: array.dtype for name, array in batch.items()} == KINDS
    ids, attention_mask = batches.reader.read(rows)
    assert (restored(batch) == ids).all()
    assert (batch["attention_mask"] == attention_mask).all()
    assert not batch["token_type_ids"].any()
    assert batch["row_mask"].tolist() == [1, 1]
    # 9 and 3 tokens: 0.3 * 12 = 3.6, so 4 are masked.
    assert batch["predicted_mask"].tolist() == [1] * 4
    assert (batch["labels"] == ids.reshape(-1)[batch["predicted"]]).all()


def test_predictions_on_all_tokens_are_scored_only_where_tokens_are_masked():
    masked_only, on_all_tokens = (
        make_batches(on_all_tokens=flag).arrays_without_targets(CorpusBatch(np.array([6, 0]), 5)) for flag in (0, 1)
    )
    assert (on_all_tokens["input_ids"] == masked_only["input_ids"]).all()
    assert on_all_tokens["predicted"].tolist() == np.flatnonzero(on_all_tokens["attention_mask"]).tolist()
    assert on_all_tokens["predicted_mask"].all()
    scored = on_all_tokens["labels"] != -100
    assert on_all_tokens["predicted"][scored].tolist() == masked_only["predicted"].tolist()
    assert on_all_tokens["labels"][scored].tolist() == masked_only["labels"].tolist()


@pytest.mark.parametrize("masking", [MASKING, None])
def test_without_predictions_rows_stay_as_they_are(masking):
    batches = make_batches(masking=masking, predicts=False)
    for full in (False, True):
        for (share,), (batch,) in zip(batches.epoch(0, 1, full=full), batches.groups(0), strict=True):
            ids, _ = batches.reader.read(batch.rows, full=full)
            assert (share["input_ids"][: len(ids)] == ids).all()
            assert share["labels"].tolist() == [-100] and share["predicted_mask"].tolist() == [0]


def test_causal_batch_predicts_the_next_piece_wherever_there_is_one():
    batches = make_batches(masking=None)
    rows = np.array([0, 1])  # 3 and 4 tokens, 5 and 6 positions
    batch = batches.arrays_without_targets(CorpusBatch(rows, 0))
    ids, _ = batches.reader.read(rows)
    assert (batch["input_ids"] == ids).all()
    assert batch["predicted"].tolist() == [0, 1, 2, 3, 6, 7, 8, 9, 10]
    assert batch["labels"].tolist() == [*ids[0, 1:5], *ids[1, 1:]]


def test_every_row_is_seen_once_a_pass_in_an_order_of_its_own():
    batches = make_batches(lines=22, steps=6)
    assert batches.steps_per_pass == 6
    orders = []
    for epoch in (0, 1):
        rows = [batch.rows.tolist() for group in batches.groups(epoch) for batch in group]
        assert sorted(itertools.chain.from_iterable(rows)) == list(range(22))
        assert rows == [order.tolist() for order in epoch_order(batches.reader.lengths, 4, 7, epoch)]
        orders.append(rows)
    assert orders[0] != orders[1]


def test_order_goes_on_through_epochs_and_passes():
    whole = [batch for group in make_batches(steps=18).groups(0) for batch in group]
    parts = [batch for epoch in range(6) for group in make_batches(steps=3).groups(epoch) for batch in group]
    assert [(batch.rows.tolist(), batch.number) for batch in whole] == [
        (batch.rows.tolist(), batch.number) for batch in parts
    ]
    assert [batch.number for batch in whole] == list(range(18))
    # 21 rows are 6 steps a pass: the 7th step is the first of the second pass.
    assert whole[6].rows.tolist() == epoch_order(make_batches().reader.lengths, 4, 7, 1)[0].tolist()


def test_tokens_are_masked_anew_in_every_pass():
    batches = make_batches(steps=6)

    def masked(number: int) -> list[int]:
        return batches.arrays_without_targets(CorpusBatch(np.arange(4), number))["predicted"].tolist()

    assert masked(0) == masked(0)
    assert len({tuple(masked(number)) for number in range(10)}) > 5


@pytest.mark.parametrize("per_step", [1, 2])
def test_fit_that_goes_on_in_the_middle_gets_the_same_batches(per_step):
    whole = list(make_batches(per_step=per_step).epoch(2, replicas=2))
    rest = list(make_batches(per_step=per_step).epoch(2, replicas=2, first_step=1))
    skipped = len(make_batches(per_step=per_step).groups(2)[0])
    assert all_same(whole[skipped:], rest)


@pytest.mark.parametrize("on_all_tokens", [False, True])
@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_number_of_replicas_changes_nothing_that_is_masked(replicas, on_all_tokens):
    one, several = (make_batches(on_all_tokens=on_all_tokens).epoch(1, count) for count in (1, replicas))
    for (whole,), shares in zip(one, several, strict=True):
        rows, width = whole["input_ids"].shape
        assert len({tuple(array.shape for array in share.values()) for share in shares}) == 1
        assert masked_of(shares) == masked_of([whole])
        joined = {name: np.concatenate([share[name] for share in shares]) for name in ("input_ids", "attention_mask")}
        assert (joined["input_ids"][:rows] == whole["input_ids"]).all()
        assert not joined["attention_mask"][rows:].any()
        assert sum(share["row_mask"].sum() for share in shares) == rows
        assert sum(share["predicted_mask"].sum() for share in shares) == whole["predicted_mask"].sum()


def test_filler_rows_and_predictions_count_nowhere():
    batches = make_batches(lines=21, steps=6)
    (shares,) = [
        shares for shares, (batch,) in zip(batches.epoch(0, 3), batches.groups(0), strict=True) if len(batch.rows) == 1
    ]
    assert [share["row_mask"].tolist() for share in shares] == [[1], [0], [0]]
    for share in shares[1:]:
        assert (share["input_ids"] == PAD).all()
        assert not share["predicted_mask"].any() and not share["predicted"].any()
        assert (share["labels"] == -100).all()
        assert len(share["labels"]) == len(shares[0]["labels"]) >= 1


def test_share_without_masked_tokens_has_one_filler_prediction():
    nothing = MaskingConfig(np.zeros(CORPUS_WORDS), MASK, np.arange(5, CORPUS_WORDS))
    batch = make_batches(masking=nothing).sample()
    assert (batch["predicted"].tolist(), batch["predicted_mask"].tolist(), batch["labels"].tolist()) == (
        [0],
        [0],
        [-100],
    )


def test_worker_reads_the_shares_of_its_replicas_alone():
    for full in (False, True):
        all_shares = list(make_batches().epoch(0, 4, full=full))
        mine = list(make_batches().epoch(0, 4, mine=slice(2, 4), full=full))
        assert all_same([shares[2:4] for shares in all_shares], mine)


@pytest.mark.parametrize("replicas", [1, 3])
def test_full_batches_have_few_shapes_and_the_same_lessons(replicas):
    exact = list(make_batches(steps=12).epoch(0, replicas))
    full = list(make_batches(steps=12).epoch(0, replicas, full=True))
    for some, filled in zip(exact, full, strict=True):
        assert {share["input_ids"].shape[0] for share in filled} == {-(-4 // replicas)}
        assert {share["input_ids"].shape[1] for share in filled} <= {8, 11}
        assert masked_of(some) == masked_of(filled)


def test_full_batches_of_one_replica_have_one_number_of_predictions_for_each_width():
    shapes = {
        (share["input_ids"].shape, len(share["predicted"]))
        for (share,) in make_batches(lines=60, steps=30).epoch(0, 1, full=True)
    }
    assert shapes == {((4, 8), 10), ((4, 11), 14)}  # 0.3 * 32 = 9.6 and 0.3 * 44 = 13.2


def test_full_share_with_more_than_its_part_gets_room_in_steps():
    batches = make_batches()
    assert [batches._room(predicted, 100, True) for predicted in (0, 30, 31, 34, 35)] == [30, 30, 34, 34, 38]
    assert [batches._room(predicted, 100, False) for predicted in (0, 31)] == [1, 31]
    assert make_batches(on_all_tokens=True)._room(5, 100, True) == make_batches(masking=None)._room(5, 100, True) == 100


def test_batches_of_a_step_are_cut_from_the_big_batch():
    big, small = make_batches(batch_size=8, steps=4), make_batches(batch_size=4, per_step=2, steps=4)
    for (whole,), group in zip(big.groups(0), small.groups(0), strict=True):
        assert np.concatenate([batch.rows for batch in group]).tolist() == whole.rows.tolist()
        assert all(len(batch.rows) <= 4 for batch in group)
    numbers = [[batch.number for batch in group] for epoch in (0, 1) for group in small.groups(epoch)]
    assert [group[0] for group in numbers] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert all(group == list(range(group[0], group[0] + len(group))) for group in numbers)


def test_counts_before_a_step_are_those_of_its_shares():
    batches = make_batches(per_step=2)
    entries = [batch for group in batches.groups(1) for batch in group]
    for batch, shares in zip(entries, batches.epoch(1, 2), strict=True):
        whole = batches.arrays_without_targets(batch)
        for name in ("predicted_mask", "row_mask"):
            assert whole[name].sum() == sum(share[name].sum() for share in shares)


def test_sample_looks_like_the_batches():
    for masking in (MASKING, None):
        batches = make_batches(masking=masking)
        ((share,), *_) = batches.epoch(0, 1)
        sample = batches.sample()
        assert {name: (array.dtype, array.ndim) for name, array in sample.items()} == {
            name: (array.dtype, array.ndim) for name, array in share.items()
        }


def test_evaluation_batches_are_all_rows_and_always_the_same():
    batches = make_batches()
    first, again = batches.evaluation_batches(), batches.evaluation_batches()
    assert all(map(same, first, again))
    found = [tuple(row[row != PAD]) for batch in first for row in restored(batch)]
    ids, attention_mask = batches.reader.read(np.arange(21))
    assert sorted(found) == sorted(tuple(row[there]) for row, there in zip(ids, attention_mask, strict=True))
    assert len(found[0]) == 11 and len(found[-1]) == 5
    training = batches.arrays_without_targets(CorpusBatch(np.argsort(-batches.reader.lengths, kind="stable")[:4], 0))
    assert training["predicted"].tolist() != first[0]["predicted"].tolist()
    full = batches.evaluation_batches(full=True)
    assert {batch["input_ids"].shape[0] for batch in full} == {4}
    assert [masked_of([batch]) for batch in full] == [masked_of([batch]) for batch in first]


def test_packed_rows_are_full():
    batches = make_batches(lines=60, packed=True, steps=5)
    for (share,) in batches.epoch(0, 1):
        sizes = share["attention_mask"].sum(axis=1)
        assert share["input_ids"].shape[1] <= ROOM + 2
        assert (sizes >= ROOM + 1).sum() >= len(sizes) - 1  # the last row of the stream may be short
