from types import SimpleNamespace

import numpy as np
import pytest

from xtremedistil.data.features import Features
from xtremedistil.data.padding import full_length_order, length_order
from xtremedistil.errors import InputError
from xtremedistil.inference.predict import evaluate_folder
from xtremedistil.models.prediction import predict_batches, predict_logits
from xtremedistil.serving.predictor import Predictor, load_predictor
from xtremedistil.tasks import SequenceClassification, TokenClassification

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
        cut_rows=lambda *how: 0,
        counts=lambda name, examples: name,
        metric_note="rows",
    )
    predictor = Predictor(noted, task, SimpleNamespace(pad_id=0), 12, batch_size=2)
    metrics = evaluate_folder(SimpleNamespace(legacy=False, task="task"), predictor)
    scored, predicted = shapes.copy(), shapes.clear() or predictor.example_probabilities(["all"])
    assert (metrics["rows"], len(predicted)) == (len(LENGTHS), len(LENGTHS))
    assert scored == shapes == [(2, 12), (2, 6), (2, 4), (2, 3)]


class Table:
    columns = ["text", "label"]


def tagger() -> Predictor:
    task = TokenClassification(["O", "B-PER"])
    return Predictor(None, task, None, 8)


def classifier(pairs: bool = False) -> Predictor:
    return Predictor(None, SequenceClassification(["a", "b"], pairs=pairs), None, 8)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", "A list of texts is expected, not one text"),
        (b"one text", "A list of texts is expected, not one text"),
        (None, "A list of texts is expected, not None"),
        (3, "A list of texts is expected, not 3"),
        (Table(), r'a table with the columns text, label. Name the one with the texts: list\(table\["text"\]\)'),
        ({"text": ["a"], "label": ["b"]}, "a table with the columns text, label"),
        (["a", None], r"texts\[1\] is None, of type NoneType; a text is expected"),
        (["a", float("nan")], r"texts\[1\] is nan, of type float"),
        ([7], r"texts\[0\] is 7, of type int"),
        (["a", b"b"], r"texts\[1\] is b'b', of type bytes"),
        ([["a", ["b"]]], r"texts\[0\] is \['a', \['b'\]\], of type list"),
        ([["a", None]], r"texts\[0\] is \['a', None\], of type list"),
        ([{"text": "a"}], r"texts\[0\] is {'text': 'a'}, of type dict"),
    ],
)
@pytest.mark.parametrize("make", [tagger, classifier])
def test_what_is_no_text_is_refused_with_its_row(make, texts, message):
    with pytest.raises(InputError, match=message):
        make()(texts)


def test_half_a_pair_is_refused_with_its_row():
    with pytest.raises(InputError, match=r"texts\[1\]: 1 text\(s\) given where the task takes a pair of texts: 'al"):
        classifier(pairs=True)([("a", "b"), "alone"])
    with pytest.raises(InputError, match=r"texts\[0\]: 2 text\(s\) given where the task takes one text"):
        classifier()([("a", "b")])


def test_words_of_a_text_are_what_white_space_separates_and_given_words_stay():
    example = tagger().task.example
    assert example("  a  b\tc\u00a0d\n").words == ["a", "b", "c", "d"]
    assert example(["a", "", "b c"]).words == ["a", "", "b c"]
    assert example("").words == example(" \u3000 ").words == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it is a whole number of at least 1"),
        ({"batch_size": "8"}, "batch_size is '8'; it is a whole number"),
        ({"batch_size": True}, "batch_size is True; it is a whole number"),
        ({"num_threads": 2.5}, "num_threads is 2.5; it is a whole number"),
        ({"runtime": "ONNX"}, 'There is no runtime "ONNX"; there are: keras, onnx'),
    ],
)
def test_arguments_of_a_predictor_are_checked_before_the_folder_is_read(changes, message):
    with pytest.raises(ValueError, match=message):
        load_predictor("no-such-folder", **changes)
