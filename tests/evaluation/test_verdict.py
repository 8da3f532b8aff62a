"""What the scores of a run say."""

import pytest

from xtremedistil.evaluation.verdict import Scores, commonest_score, verdict, weak_teacher
from xtremedistil.tasks import SequenceClassification, TokenClassification
from xtremedistil.tasks.sequence_classification import LabelledText
from xtremedistil.tasks.token_classification import TaggedSentence


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (Scores(0.5, 0.88, 0.9, 0.7), ""),
        (Scores(0.5, 0.88), ""),
        (Scores(0.5, 0.51, 0.9), "scores 51.0, and the commonest label everywhere 50.0: it has learnt nothing"),
        (Scores(0.0, 0.01, 0.9), "it has learnt nothing"),
        (Scores(0.5, 0.53, 0.54), "The teacher itself scores only 54.0 (the commonest label 50.0)"),
        (Scores(0.5, 0.7, 0.75, 0.72), "The student scores 70.0, the same student trained on the labels only 72.0"),
        (Scores(0.5, 0.7, 0.9, 0.6), "The student scores 70.0, its teacher 90.0. Try"),
    ],
)
def test_sentence_names_scores_cause_and_what_to_try(scores, words):
    assert words in verdict(scores) and bool(words) == bool(verdict(scores))


def test_weak_teacher_is_warned_of():
    assert weak_teacher(0.9, 0.5) == weak_teacher(0.56, 0.5) == ""
    assert "scores 52.0 on dev, where the commonest label gets 50.0" in weak_teacher(0.52, 0.5)


def test_commonest_label_is_that_of_the_training_rows():
    texts = SequenceClassification(["a", "b"])
    rows = [LabelledText("x", label=label) for label in "aab"]
    assert commonest_score(texts, rows, [LabelledText("x", label=label) for label in "abbb"]) == 0.25
    tags = TokenClassification(["O", "B-PER"])
    sentences = [TaggedSentence(["w", "w", "w"], ["O", "O", "B-PER"])]
    assert commonest_score(tags, sentences, sentences) == 0.0  # F1 of chunks
