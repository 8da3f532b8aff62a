"""A teacher and a student with different tokenizers: their tokens meet at the beginnings of words."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.distillation.distiller.models import (
    FIT,
    TAGGING_FIRST,
    TASKS,
    WORDS,
    in_two_pieces,
    pair,
    rows,
    span_logits,
    tf,
    transformers,
)
from xtremedistil.distillation.data.encoded_inputs import encoded_rows
from xtremedistil.distillation.distiller.distiller import Distiller
from xtremedistil.distillation.teacher_outputs.word_alignment import aligned_outputs
from xtremedistil.losses import LOSSES
from xtremedistil.models.adapters import TaskModel
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.terms.terms import Terms


def test_words_of_two_tokenizers_meet():
    """The teacher cuts each word in two; a teacher whose ids are the student's says the same at each first token."""
    generator = np.random.default_rng(0)
    words = [generator.integers(1, WORDS, 4).tolist() for _ in range(12)]
    own = {"input_ids": words, "word_ids": [[0, 1, 2, 3]] * 12}
    twice = {
        "input_ids": [[piece for word in row for piece in (word, 39)] for row in words],
        "word_ids": [[0, 0, 1, 1, 2, 2, 3, 3]] * 12,
    }
    teacher, student = pair("TokenClassification")
    distiller = Distiller(teacher, student)
    history = distiller.fit(own, epochs=1, batch_size=12, learning_rate=1e-9, teacher_train={0: twice})
    theirs = teacher({"input_ids": np.array(twice["input_ids"])}).logits.numpy()[:, ::2]
    ours = student({"input_ids": np.array(words)}).logits.numpy()
    log_teacher, log_student = (tf.nn.log_softmax(values / 2.0).numpy() for values in (theirs, ours))
    kl = 4 * np.mean(np.sum(np.exp(log_teacher) * (log_teacher - log_student), -1))
    assert history.epochs[0]["logits"] == pytest.approx(kl, rel=1e-4)


@pytest.mark.slow
def test_states_of_two_tokenizers_count_where_words_begin():
    """Of tokens a, b of the student's words only a has a counterpart; a group of batches is the big batch."""
    generator = np.random.default_rng(0)
    words = [generator.integers(1, WORDS, 4).tolist() for _ in range(12)]
    theirs = {"input_ids": words, "word_ids": [[0, 1, 2, 3]] * 12}
    own = {
        "input_ids": [[piece for word in row for piece in (word, 39)] for row in words],
        "word_ids": [[0, 0, 1, 1, 2, 2, 3, 3]] * 12,
    }
    teacher, student = pair("TokenClassification")
    match = Match("hidden_states", 3, 2)
    distiller = Distiller(teacher, student, Terms(matches=(match,)))
    (projection,) = distiller.projections
    state = student({"input_ids": np.array(own["input_ids"])}, output_hidden_states=True).hidden_states[2]
    target = teacher({"input_ids": np.array(words)}, output_hidden_states=True).hidden_states[3]
    expected = np.mean((projection(state).numpy()[:, ::2] - target.numpy()) ** 2)
    settings = {"epochs": 1, "learning_rate": 1e-9, "teacher_train": {0: theirs}, "targets_precision": "float32"}
    whole = distiller.fit(own, batch_size=12, **settings).epochs[0]
    parts = distiller.fit(own, batch_size=5, gradient_accumulation_steps=3, **settings).epochs[0]
    assert whole[match.name] == pytest.approx(expected, rel=1e-4)
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-4)
    with pytest.raises(ValueError, match="teacher_dev has no rows of teacher 0"):
        distiller.fit(own, own, batch_size=12, **settings)


@pytest.mark.slow
def test_states_of_texts_in_two_tokenizers_meet_at_words(tmp_path, monkeypatch):
    own, theirs = in_two_pieces(np.random.default_rng(0).integers(2, WORDS, (12, 4)).tolist())
    labels = {"labels": [0, 1, 2] * 4}
    teacher, student = pair()
    match = Match("hidden_states", 3, 2)
    distiller = Distiller(teacher, student, Terms(matches=(match,)))
    (projection,) = distiller.projections
    state = student({"input_ids": np.array(own["input_ids"])}, output_hidden_states=True).hidden_states[2]
    given = {"input_ids": np.array(theirs["input_ids"])}
    target = teacher(given, output_hidden_states=True).hidden_states[3]
    expected = np.mean((projection(state).numpy()[:, 1:] - target.numpy()[:, 1::2]) ** 2)
    settings = {"epochs": 1, "batch_size": 12, "learning_rate": 1e-9, "targets_precision": "float32"}
    found = distiller.fit(own | labels, teacher_train={0: theirs}, **settings).epochs[0]
    assert found[match.name] == pytest.approx(expected, rel=1e-4)
    log_teacher, log_student = (
        tf.nn.log_softmax(model(batch).logits / 2.0).numpy()
        for model, batch in ((teacher, given), (student, {"input_ids": np.array(own["input_ids"])}))
    )
    kl = 4 * np.mean(np.sum(np.exp(log_teacher) * (log_teacher - log_student), -1))
    assert found["logits"] == pytest.approx(kl, rel=1e-4)
    with pytest.raises(ValueError, match="give both sides word_ids"):
        distiller.fit({"input_ids": own["input_ids"]}, teacher_train={0: theirs}, **settings)
    asked, feature_model = [], TaskModel.feature_model
    monkeypatch.setattr(TaskModel, "feature_model", lambda self, names: asked.append(1) or feature_model(self, names))
    for calls in (1, 1):  # the second time its outputs are there
        again = distiller.fit(own | labels, teacher_train={0: theirs}, folder=str(tmp_path), **settings).epochs[0]
        assert len(asked) == calls
        assert again["loss"] == pytest.approx(found["loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("task", TAGGING_FIRST)
def test_rows_of_two_tokenizers_may_be_of_many_lengths(task):
    """Another width in nearly every batch, of which a dev set has its own."""
    sides = [in_two_pieces([row[:7]]) for row in rows(12)["input_ids"]]  # at most 15 tokens; there are 16 positions
    own, theirs = ({name: [side[n][name][0] for side in sides] for name in sides[0][n]} for n in (0, 1))
    distiller = Distiller(*pair(task), Terms(matches=(Match("hidden_states", 3, 2),)))
    settings = {"teacher_train": {0: theirs}, "teacher_dev": {0: theirs}}
    history = distiller.fit(own, own, **settings, **(FIT | {"batch_size": 2, "epochs": 2}))
    assert history.epochs[1]["loss"] < history.epochs[0]["loss"]


def test_spans_of_two_tokenizers_compete_where_words_begin():
    own, theirs = in_two_pieces(np.random.default_rng(0).integers(2, WORDS, (6, 4)).tolist())
    teacher, student = pair("QuestionAnswering")
    distiller = Distiller(teacher, student, Terms(SoftLabels("soft_label_kl")))
    settings = {"epochs": 1, "batch_size": 6, "learning_rate": 1e-9}
    (epoch,) = distiller.fit(own, teacher_train={0: theirs}, **settings).epochs
    starts = span_logits(teacher, {"input_ids": np.array(theirs["input_ids"])})[0][:, 1::2]
    found = span_logits(student, {"input_ids": np.array(own["input_ids"])})[0][:, 1:]
    expected = LOSSES["soft_label_kl"](teacher=starts, student=found)
    assert epoch["start_logits"] == pytest.approx(float(expected), rel=1e-3)


def test_first_positions_of_two_tokenizers_are_no_pair():
    own, theirs = in_two_pieces([[2, 3], [4, 5]])
    distiller = Distiller(*pair("TokenClassification"), Terms(matches=(Match("hidden_states", 3, 2, "pkd"),)))
    with pytest.raises(ValueError, match="pkd compares first tokens"):
        distiller.fit(own, teacher_train={0: theirs}, **FIT)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS[:2])
def test_two_tokenizers_without_words_are_refused(task):
    distiller = Distiller(*pair(task), Terms(matches=(Match("hidden_states", 3, 2),)))
    with pytest.raises(ValueError, match="the teacher 3"):
        distiller.fit(rows(4), teacher_train={0: rows(3)}, **FIT)
    with pytest.raises(ValueError, match="give both sides word_ids"):
        distiller.fit(rows(4), teacher_train={0: rows(4)}, **FIT)


@pytest.mark.slow
def test_two_tokenizers_without_a_word_in_common_are_refused():
    sides = [{"input_ids": [[3, 4]], "word_ids": [words]} for words in ([0, 1], [7, 8])]
    with pytest.raises(ValueError, match="No row has a word in common"):
        Distiller(*pair("TokenClassification")).fit(sides[0], teacher_train={0: sides[1]}, **FIT)


def meetings(texts: list, folders: list[str], **how) -> list[tuple[str, str]]:
    """Pieces of the student's tokenizer that have a counterpart, and that."""
    tokenizers = [transformers.AutoTokenizer.from_pretrained(folder, add_prefix_space=True) for folder in folders]
    sides = [encoded_rows(tokenizer(*texts, **how), by_position=False) for tokenizer in tokenizers]
    (own, words), (theirs, their_words) = sides
    source = aligned_outputs(own, SimpleNamespace(features=theirs, arrays={}), words, their_words).source
    found = [(own.input_ids[place], theirs.input_ids[other]) for place, other in enumerate(source) if other >= 0]
    return [tuple(tokenizers[side].convert_ids_to_tokens(int(pair[side])) for side in (0, 1)) for pair in found]


def test_words_of_real_tokenizers_meet_or_are_refused(word_piece_folder, byte_level_folder):
    folders = [word_piece_folder, byte_level_folder]
    texts = ["the cats don't mind", "the big dog", "the cat"]
    with pytest.raises(ValueError, match=r"Row 0 has 6 words by the student's tokenizer and 5 by the teacher's"):
        meetings([texts], folders)
    split = {"is_split_into_words": True}
    met = meetings([[text.split() for text in texts]], folders, **split)
    assert len(met) == 9 and all(theirs.startswith("Ġ") for _, theirs in met), "first tokens of words"
    both = meetings([["the cat"], ["big dog"]], folders)
    assert [pair[0] for pair in both] == ["the", "cat", "big", "dog"] and both[2][1].startswith("Ġb")
    meetings([["the big dog don't"] * 2], folders, truncation=True, max_length=5)  # cut short before they differ
