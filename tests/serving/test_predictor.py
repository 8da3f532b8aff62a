from types import SimpleNamespace

import numpy as np

from xtremedistil.data.features import Features
from xtremedistil.data.padding import full_length_order, length_order
from xtremedistil.inference.predict import evaluate_folder
from xtremedistil.models.prediction import predict_batches, predict_logits
from xtremedistil.serving.predictor import Predictor

LENGTHS = np.array([3, 12, 4, 4, 12, 2, 3, 6])


def features() -> Features:
    """Rows whose tokens are numbers that occur once."""
    ends = np.cumsum(LENGTHS)
    return Features.from_rows(
        [list(range(end - length + 1, end + 1)) for length, end in zip(LENGTHS, ends, strict=True)]
    )


def twice_the_pieces(arrays):
    return {"logits": 2.0 * arrays["input_ids"][:, :, None]}


def test_short_rows_come_many_at_a_time():
    batches = [rows.tolist() for rows in full_length_order(LENGTHS, 2)]
    assert batches == [[1, 4], [7, 2, 3, 0], [6, 5]]  # 24 positions: 2 of 12, 4 of 6, and what is left of 8 of 3
    assert [rows.tolist() for rows in length_order(LENGTHS, 4)] == [[1, 4, 7, 2], [3, 0, 6, 5]]


def test_never_fewer_rows_than_the_batch_size():
    assert [len(rows) for rows in full_length_order(np.array([5, 4, 4]), 1)] == [1, 1, 1]
    assert [len(rows) for rows in full_length_order(np.zeros(5, int), 2)] == [2, 2, 1]


def test_filled_batches_hold_as_many_positions_and_no_more():
    lengths = np.random.default_rng(0).integers(1, 60, 500)
    batches = list(full_length_order(lengths, 8))
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    sizes = [len(rows) * lengths[rows].max() for rows in batches]
    limit = 8 * lengths.max()
    assert max(sizes) <= limit and all(
        size > limit - lengths[rows[0]] for size, rows in list(zip(sizes, batches, strict=True))[:-1]
    )


def test_outputs_do_not_depend_on_how_rows_are_batched():
    plain, filled = (
        predict_logits(twice_the_pieces, features(), batch_size=2, pad_id=0, fill=fill) for fill in (False, True)
    )
    for row, (one, other) in enumerate(zip(plain, filled, strict=True)):
        start = features().offsets[row]
        assert one[:, 0].tolist() == other[:, 0].tolist() == [2.0 * (start + n + 1) for n in range(LENGTHS[row])]
    batches = predict_batches(twice_the_pieces, features(), batch_size=2, pad_id=0, fill=True)
    assert [outputs["logits"].shape for _, outputs in batches] == [(2, 12, 1), (4, 6, 1), (2, 3, 1)]


def test_a_folder_is_scored_in_the_batches_that_it_predicts_in():
    """Dynamic int8 quantisation takes one scale for a batch: in other batches a model says other things."""
    shapes = []

    def noted(arrays):
        shapes.append(arrays["input_ids"].shape)
        return twice_the_pieces(arrays)

    task = SimpleNamespace(
        by_position=True,
        read=lambda path, labelled: [],
        encode=lambda examples, *how, **more: features(),
        decode=lambda features, logits, examples: logits,
        predict_labels=lambda probabilities: probabilities,
        score=lambda examples, predictions: {"primary": "rows", "rows": len(predictions)},
    )
    predictor = Predictor(noted, task, SimpleNamespace(pad_id=0), 12, batch_size=2)
    metrics = evaluate_folder(SimpleNamespace(legacy=False, task="task"), predictor)
    scored, predicted = shapes.copy(), shapes.clear() or predictor.example_probabilities(["all"])
    assert (metrics["rows"], len(predicted)) == (len(LENGTHS), len(LENGTHS))
    assert scored == shapes == [(2, 12), (2, 6), (2, 4), (2, 3)]
