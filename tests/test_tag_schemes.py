"""Schemes of tags, by the letters and the writing of the labels."""

import pytest

from xtremedistil.errors import InputError
from xtremedistil.metrics import tagging_scores
from xtremedistil.tag_schemes import find_scheme, require_scheme


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ("O B-PER I-PER", "IOB"),
        ("O I-PER", "IO"),
        ("O B-PER I-PER E-PER S-PER", "IOBES"),
        ("O B-PER M-PER E-PER S-PER", "BMES"),
        ("O B-PER I-PER L-PER U-PER", "BILOU"),
        ("B I O", "IOB, written as B"),
        ("B M E S", "BMES, written as B"),
        ("O B_PER I_PER", "IOB, written as B_PER"),
        ("PER-B PER-I O", "IOB, written as PER-B"),
        ("b-per i-per o", "IOB, written as b-per"),
        ("O B-PER I-PER [CLS] X <PAD>", "IOB"),
    ],
)
def test_scheme_is_told(labels, name):
    scheme = require_scheme(labels.split(), "labels.tsv")
    assert scheme.name == name
    assert set(scheme.left_out) == {"[CLS]", "X", "<PAD>"} & set(labels.split())


@pytest.mark.parametrize("labels", ["NN VB X .", "a b c i o", "ADJ ADP B-X NOUN", "O", "NOUN VERB X PUNCT", "yes no"])
def test_labels_of_single_words_have_none(labels):
    assert require_scheme(labels.split(), "labels.tsv") is None


def test_labels_of_which_one_marks_no_chunk_are_refused():
    with pytest.raises(InputError, match=r"labels.tsv: 2 labels mark chunks \(B-PER, I-PER\), but not NN, so that F1"):
        require_scheme("O B-PER I-PER NN".split(), "labels.tsv")
    assert find_scheme("O B-PER I-PER NN".split()) is None


IOB = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-PER"]]
FOUND = [["B-PER", "O", "O", "B-LOC"], ["O", "B-PER"]]  # two of three chunks


@pytest.mark.parametrize(
    "write",
    [
        lambda tag: tag,
        lambda tag: tag.replace("-", "_"),
        lambda tag: tag.lower(),
        lambda tag: "-".join(reversed(tag.split("-"))),
        lambda tag: f"en:{tag}",
    ],
)
def test_writing_of_tags_does_not_change_their_scores(write):
    gold, found = ([[write(tag) for tag in tags] for tags in sentences] for sentences in (IOB, FOUND))
    scores = tagging_scores(gold, found)
    assert scores["primary"] == "f1" and scores["f1"] == pytest.approx(2 / 3)
    assert scores["accuracy"] == pytest.approx(5 / 6)


def test_schemes_with_ends_count_whole_chunks():
    gold, found = [["B-PER", "M-PER", "E-PER", "S-LOC"]], [["B-PER", "E-PER", "O", "S-LOC"]]
    assert tagging_scores(gold, found)["f1"] == 0.5
    assert tagging_scores([["B", "M", "E", "S"]], [["B", "E", "S", "S"]])["f1"] == pytest.approx(0.4)  # of 2 and 3
    assert tagging_scores([["B", "I", "O"]], [["B", "I", "O"]])["f1"] == 1.0


def test_special_labels_count_as_outside():
    labels = ["O", "B-PER", "[CLS]", "X"]
    scores = tagging_scores([["B-PER", "O"]], [["B-PER", "X"]], labels=labels)
    assert scores["primary"] == "f1" and scores["f1"] == 1.0 and scores["accuracy"] == 0.5
