import json
from pathlib import Path

import pytest

from xtremedistil.metrics import chunk_scores, scored_tags, token_scores, without_continuation

SPECIAL = ("[PAD]", "[SEP]", "[CLS]")


def test_chunk_scores_equal_those_recorded_from_the_original():
    for case in json.loads((Path(__file__).parent / "data" / "original_scores.json").read_text()):
        scores = chunk_scores(case["gold"].split(), case["predicted"].split())
        assert list(scores) == case["precision_recall_f1_percent"]


def test_chunk_scores_equal_all_recorded_ones(shared_data):
    for case in json.loads((shared_data / "fixtures" / "original-release" / "scores.json").read_text()):
        assert list(chunk_scores(case["gold"], case["predicted"])) == case["precision_recall_f1_percent"]


def test_continuation_goes_on_with_the_chunk_before():
    tags = ["B-PER", "X", "X", "O", "X", "I-LOC", "X"]
    assert without_continuation(tags) == ["B-PER", "I-PER", "I-PER", "O", "O", "I-LOC", "I-LOC"]


def test_continuation_at_the_beginning_looks_at_the_last_tag():
    assert without_continuation(["X", "B-PER"]) == ["I-PER", "B-PER"]
    assert without_continuation(["X", "O"]) == ["O", "O"]
    assert without_continuation(["X", "X"]) == ["O", "O"]


def test_continuation_is_matched_exactly():
    assert without_continuation(["O", "B-TAX", "X", "EXP"]) == ["O", "B-TAX", "I-TAX", "EXP"]
    assert chunk_scores(["O", "B-TAX"], ["O", "B-TAX"]) == (100.0, 100.0, 100.0)


def test_continuation_keeps_types_with_hyphens_whole():
    assert without_continuation(["B-WORK-OF-ART", "X"]) == ["B-WORK-OF-ART", "I-WORK-OF-ART"]


def test_chunk_scores_cross_sentence_ends_as_the_original_did():
    assert chunk_scores(["B-PER", "I-PER"], ["B-PER", "O"]) == (0.0, 0.0, 0.0)


def test_chunk_scores_of_nothing_are_zero():
    assert chunk_scores([], []) == (0.0, 0.0, 0.0)


def test_chunk_scores_refuse_different_lengths():
    with pytest.raises(ValueError, match="1 gold tags but 0 predicted ones"):
        chunk_scores(["O"], [])


def test_scored_tags_skip_special_gold_and_turn_special_predictions_into_o():
    gold = [["[CLS]", "en:B-PER", "X", "[SEP]", "[PAD]"]]
    predicted = [["B-PER", "B-PER", "[PAD]", "O", "O"]]
    assert scored_tags(gold, predicted, SPECIAL) == (["B-PER", "X"], ["B-PER", "O"])


def test_piece_scores_are_fractions():
    row = [["[CLS]", "B-PER", "X", "O", "B-LOC", "[SEP]"]]
    guess = [["[CLS]", "B-PER", "X", "O", "O", "[SEP]"]]
    assert token_scores(row, guess, SPECIAL) == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "primary": "f1",
    }
