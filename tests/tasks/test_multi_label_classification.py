import math

import numpy as np
import pytest

from xtremedistil.errors import InputError
from xtremedistil.tasks import KindSettings, LabelledText, MultiLabelClassification, folder_problems, open_task
from xtremedistil.tasks.label_sampling import few_rows
from xtremedistil.tokenization.tokenizer import Tokenizer

MULTI = KindSettings(task_kind="multi_label_classification")


@pytest.fixture
def task() -> MultiLabelClassification:
    return MultiLabelClassification(["joy", "anger", "fear"])


@pytest.fixture
def write_task(write_file, tmp_path):
    """Writes the three sets, train as given."""

    def write(train: str) -> str:
        for name in ("train", "dev", "test"):
            write_file(f"{name}.tsv", train if name == "train" else "x\t\n")
        return str(tmp_path)

    return write


def examples(*labels) -> list[LabelledText]:
    return [LabelledText("the cat", None, given) for given in labels]


# Files


def test_labels_are_those_of_all_rows_of_train(write_task):
    assert open_task(write_task("a\tjoy, fear\nb\t\nc\tfear,anger\n"), MULTI).labels == ["anger", "fear", "joy"]
    assert open_task(write_task("a\t10,2\nb\t02\n"), MULTI).labels == ["2", "10"]


def test_labels_file_has_the_last_word(write_task, write_file):
    folder = write_task("a\tb\n")
    write_file("labels.tsv", "c\nb\n")
    assert open_task(folder, MULTI).labels == ["c", "b"]


def test_rows_have_several_labels_or_none(task, write_file):
    path = write_file("train.tsv", "a cat\tfear,joy\nb\t\nc\t joy , anger \n")
    assert [row.label for row in task.read(path)] == [("fear", "joy"), (), ("joy", "anger")]
    assert task.read(path)[0].text == "a cat"


def test_rows_of_pairs_have_labels_too(write_file):
    task = MultiLabelClassification(["a", "b"], pairs=True)
    (row,) = task.read(write_file("train.tsv", "x\ty\tb,a\n"))
    assert row == LabelledText("x", "y", ("b", "a"))


def test_separator_may_be_another(write_task):
    settings = KindSettings(task_kind="multi_label_classification", label_separator="; ")
    task = open_task(write_task("a\tx, y; z\n"), settings)
    assert (task.labels, task.answer_text(["z", "x, y"])) == (["x, y", "z"], "z; x, y")
    assert task.saved_keys["label_separator"] == "; "


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("x\tjoy,angry", r"line 2: the label 'angry' is not among the task's. Did you mean 'anger'\?"),
        ("x\tjoy;fear", "line 2: the label 'joy;fear' is not among the task's"),
        ("x\tjoy,", "line 2: an empty label in 'joy,'. Put one ',' between two labels"),
        ("x\tjoy,,fear", "line 2: an empty label in 'joy,,fear'"),
        ("x\tjoy,fear,joy", "line 2: the label 'joy' is there twice"),
        ("x", 'line 2: 1 column, expected 2(.|\n)*"text<TAB>label"'),
    ],
)
def test_rows_that_cannot_be_read_are_named(task, write_file, row, words):
    with pytest.raises(InputError, match=rf"train\.tsv, {words}"):
        task.read(write_file("train.tsv", f"x\tjoy\n{row}\n"))


def test_task_without_any_label_is_refused(write_task):
    with pytest.raises(InputError, match=r"No row of train\.tsv in .* has a label in its last column"):
        open_task(write_task("a\t\nb\t\n"), MULTI)


def test_labels_that_hold_the_separator_are_refused():
    with pytest.raises(InputError, match="'joy, fear' holds the separator of labels, ','.*another `label_separator`"):
        MultiLabelClassification(["joy, fear", "anger"])
    assert MultiLabelClassification(["joy, fear"], label_separator=";").labels == ["joy, fear"]


def test_separators_that_no_file_can_have_are_refused(tmp_path):
    for separator in ("", "\t", "a\n"):
        settings = KindSettings(task_kind="multi_label_classification", label_separator=separator)
        (line, _) = folder_problems(str(tmp_path / "nowhere"), settings)
        assert "label_separator" in line and "give one or several characters, no tab or line end" in line


def test_sample_holds_every_label(write_task):
    folder = write_task("".join(f"t\t{'a' if row else 'a,b,c'}\n" for row in range(20)))
    for seed in range(3):
        assert 0 in few_rows(open_task(folder, MULTI), folder, 4, seed)
    with pytest.raises(InputError, match="at least 3, one for each label, and at most 20"):
        few_rows(open_task(folder, MULTI), folder, 2, seed=0)


# Arrays


def test_encode_gives_a_number_for_each_label(task, word_piece_folder):
    tokenizer = Tokenizer.load(word_piece_folder)
    features = task.encode(examples(("fear", "joy"), ()), tokenizer, 8)
    assert features.labels.dtype == np.float32 and features.labels.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert features.lengths.tolist() == [4, 4] and features.word_ids is None
    assert task.encode(examples(("joy",), None), tokenizer, 8).labels is None
    assert task.encode([], tokenizer, 8).labels is None


def test_each_label_holds_or_not_by_itself(task):
    # The logistic function of 0, ln 3, -ln 3 is 1/2, 3/4, 1/4; from 1/2 on a label holds.
    logits = [np.array([math.log(3), 0.0, -math.log(3)]), np.full(3, -200.0), np.full(3, 200.0)]
    probabilities = task.decode(None, logits, examples((), (), ()))
    assert probabilities[0].dtype == np.float32 and np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities, [[0.75, 0.5, 0.25], [0, 0, 0], [1, 1, 1]], atol=1e-6)
    answers = task.predict_labels(probabilities)
    assert answers == [["joy", "anger"], [], ["joy", "anger", "fear"]]
    assert task.chosen(np.stack(logits)).tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert [task.answer_text(answer) for answer in answers] == ["joy,anger", "", "joy,anger,fear"]
    assert task.answer_json(answers[0], probabilities[0]) == {
        "labels": ["joy", "anger"],
        "probabilities": {"joy": 0.75, "anger": 0.5, "fear": 0.25},
    }


# Scores


def test_scores_are_f1_over_decisions_and_over_labels(task):
    # joy: 1 right, 1 missed: 2/3. anger: 1 right, 1 too many: 2/3. fear occurs nowhere. In all 2 * 2 / (3 + 3).
    gold = examples(("joy", "anger"), ("joy",), ())
    scores = task.score(gold, [["anger", "joy"], [], ["anger"]])
    assert scores == {"f1_micro": pytest.approx(2 / 3), "f1_macro": pytest.approx(2 / 3), "primary": "f1_micro"}


def test_scores_of_nothing_are_zero_and_of_equal_labels_one(task):
    assert task.score(examples((), ()), [[], []]) == {"f1_micro": 0.0, "f1_macro": 0.0, "primary": "f1_micro"}
    equal = task.score(examples(("joy",), ("fear", "anger")), [["joy"], ["anger", "fear"]])
    assert equal["f1_micro"] == equal["f1_macro"] == 1.0


def test_scores_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    names, generator = ["a", "b", "c", "d"], np.random.default_rng(0)
    gold, found = generator.random((2, 50, 4)) < [0.7, 0.3, 0.1, 0.5]
    task = MultiLabelClassification(names)
    gold_labels, found_labels = ([[names[n] for n in np.flatnonzero(row)] for row in rows] for rows in (gold, found))
    scores = task.score(examples(*map(tuple, gold_labels)), found_labels)
    for average in ("micro", "macro"):
        assert scores[f"f1_{average}"] == pytest.approx(metrics.f1_score(gold, found, average=average))
