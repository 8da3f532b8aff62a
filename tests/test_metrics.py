import random
import warnings

import pytest

from xtremedistil.metrics import chunks, classification_scores, iob2_chunks, tagging_scores

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def random_sentences(seed: int, labels: list[str], count: int = 200) -> tuple[list, list]:
    draw = random.Random(seed)
    gold = [draw.choices(labels, k=draw.randint(1, 12)) for _ in range(count)]
    predicted = [[tag if draw.random() < 0.7 else draw.choice(labels) for tag in tags] for tags in gold]
    return gold, predicted


def test_tagging_scores_of_hand_worked_sentences():
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC"]]
    predicted = [["B-PER", "I-PER", "O", "O"], ["B-PER", "B-LOC"]]
    scores = tagging_scores(gold, predicted, labels=LABELS)
    # Gold has 3 chunks, 3 are predicted, 2 are right.
    assert scores["precision"] == scores["recall"] == pytest.approx(2 / 3)
    assert scores["f1"] == scores["f1_strict_iob2"] == pytest.approx(2 / 3)
    assert scores["accuracy"] == pytest.approx(4 / 6)
    # PER: 1 right of 2 predicted and 1 gold. LOC: 1 right of 1 predicted and 2 gold.
    assert scores["f1.PER"] == scores["f1.LOC"] == pytest.approx(2 / 3)
    assert scores["primary"] == "f1"


def test_chunks_do_not_cross_sentences():
    scores = tagging_scores([["B-PER"], ["I-PER"]], [["B-PER"], ["I-PER"]], labels=LABELS)
    assert scores["f1"] == 1.0
    assert tagging_scores([["B-PER"], ["I-PER"]], [["B-PER"], ["O"]], labels=LABELS)["recall"] == 0.5


def test_strict_iob2_ignores_chunks_without_beginning():
    scores = tagging_scores([["B-PER"]], [["I-PER"]], labels=LABELS)
    assert (scores["f1"], scores["f1_strict_iob2"]) == (1.0, 0.0)


def test_chunks_keep_hyphens_and_x_in_types():
    assert list(chunks(["B-WORK-OF-ART", "I-WORK-OF-ART", "B-TAX"])) == [("WORK-OF-ART", 0, 1), ("TAX", 2, 2)]


def test_chunks_read_bilou_like_iobes():
    assert list(chunks(["U-A", "B-A", "I-A", "L-A"])) == list(chunks(["S-A", "B-A", "I-A", "E-A"]))


@pytest.mark.parametrize("labels", [LABELS, [*LABELS, "E-PER", "S-PER", "E-LOC", "S-LOC"], ["O", "I-A", "I-B-C"]])
def test_tagging_scores_equal_seqeval(labels):
    metrics = pytest.importorskip("seqeval.metrics")
    gold, predicted = random_sentences(1, labels)
    scores = tagging_scores(gold, predicted, labels=labels)
    assert scores["f1"] == pytest.approx(metrics.f1_score(gold, predicted))
    assert scores["precision"] == pytest.approx(metrics.precision_score(gold, predicted))
    assert scores["recall"] == pytest.approx(metrics.recall_score(gold, predicted))
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(gold, predicted))
    by_type = metrics.classification_report(gold, predicted, output_dict=True)
    for kind in {label[2:] for label in labels} - {""}:
        assert scores[f"f1.{kind}"] == pytest.approx(by_type[kind]["f1-score"])


def test_strict_f1_equals_seqeval():
    metrics = pytest.importorskip("seqeval.metrics")
    scheme = pytest.importorskip("seqeval.scheme")
    gold, predicted = random_sentences(2, LABELS)
    expected = metrics.f1_score(gold, predicted, mode="strict", scheme=scheme.IOB2)
    assert tagging_scores(gold, predicted, labels=LABELS)["f1_strict_iob2"] == pytest.approx(expected)


def test_iob2_chunks_end_at_other_type():
    assert list(iob2_chunks(["B-A", "I-B", "I-B", "B-B", "I-B"])) == [("A", 0, 0), ("B", 3, 4)]


def test_tagging_scores_of_parts_of_speech_have_accuracy_only():
    scores = tagging_scores([["NOUN", "VERB"]], [["NOUN", "NOUN"]], labels=["NOUN", "VERB"], languages=["en"])
    assert scores == {"accuracy": 0.5, "accuracy.language.en": 0.5, "primary": "accuracy"}


def test_tagging_scores_drop_language_of_prefixed_labels():
    labels = ["en:O", "en:B-PER", "de:O"]
    scores = tagging_scores([["en:B-PER"], ["de:O"]], [["en:B-PER"], ["en:O"]], labels=labels)
    assert scores["f1"] == scores["accuracy"] == scores["f1.PER"] == 1.0


def test_tagging_scores_by_language_leave_out_sentences_without():
    scores = tagging_scores([["B-PER"], ["B-PER"]], [["B-PER"], ["O"]], labels=LABELS, languages=["en", None])
    assert scores["f1.language.en"] == 1.0 and scores["f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("sentences", [[], [[]], [["O"]]])
def test_tagging_scores_with_nothing_to_count_are_zero_without_warning(sentences):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = tagging_scores(sentences, sentences, labels=LABELS)
    assert scores["f1"] == scores["f1_strict_iob2"] == scores["f1.PER"] == 0.0 and scores["primary"] == "f1"


def test_tagging_scores_refuse_different_lengths():
    with pytest.raises(ValueError, match="sentence 1: 1 gold tags but 2 predicted ones"):
        tagging_scores([["O"], ["O"]], [["O"], ["O", "O"]])
    with pytest.raises(ValueError, match="1 gold sentences but 0 predicted ones"):
        tagging_scores([["O"]], [])


def test_classification_scores_of_hand_worked_labels():
    gold, predicted = ["1", "1", "1", "0", "0"], ["1", "1", "0", "0", "1"]
    scores = classification_scores(gold, predicted, labels=["0", "1"])
    # Class 1: 2 right, 2 wrong. Class 0: 1 right, 2 wrong. Matthews: (2*1 - 1*1) / sqrt(3*3*2*2).
    assert scores["accuracy"] == pytest.approx(0.6) and scores["f1"] == pytest.approx(4 / 6)
    assert scores["f1_macro"] == pytest.approx((4 / 6 + 2 / 4) / 2)
    assert scores["matthews"] == pytest.approx(1 / 6) and scores["primary"] == "accuracy"


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "c", "d"]])
def test_classification_scores_equal_scikit_learn(labels):
    metrics = pytest.importorskip("sklearn.metrics")
    draw = random.Random(3)
    gold, predicted = draw.choices(labels[:3], k=100), draw.choices(labels[:3], k=100)
    scores = classification_scores(gold, predicted, labels=labels)
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(gold, predicted))
    assert scores["f1_macro"] == pytest.approx(metrics.f1_score(gold, predicted, average="macro"))
    if len(labels) == 2:
        assert scores["f1"] == pytest.approx(metrics.f1_score(gold, predicted, pos_label="b"))
        assert scores["matthews"] == pytest.approx(metrics.matthews_corrcoef(gold, predicted))
    else:
        assert "f1" not in scores


def test_classification_scores_of_nothing_are_zero():
    scores = classification_scores([], [], labels=["a", "b"])
    assert scores == {"accuracy": 0.0, "f1_macro": 0.0, "f1": 0.0, "matthews": 0.0, "primary": "accuracy"}


def test_classification_scores_refuse_different_lengths():
    with pytest.raises(ValueError, match="1 gold labels but 0 predicted ones"):
        classification_scores(["a"], [], labels=["a", "b"])
