import numpy as np
import pytest

from xtremedistil.errors import InputError
from xtremedistil.tasks import KindSettings, LabelledText, SequenceClassification, open_task, task_from_labels
from xtremedistil.tasks.sequence_classification import sort_labels
from xtremedistil.tokenization.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer(word_piece_folder) -> Tokenizer:
    return Tokenizer.load(word_piece_folder)


@pytest.fixture
def task() -> SequenceClassification:
    return SequenceClassification(["bad", "good"])


@pytest.fixture
def pair_task() -> SequenceClassification:
    return SequenceClassification(["0", "1"], pairs=True)


def test_sort_labels_sorts_integers_by_value_and_others_by_characters():
    assert sort_labels(["10", "9", "-1", "09"]) == ["-1", "9", "10"]
    assert sort_labels(["10", "9", "b"]) == ["10", "9", "b"]


def test_open_task_takes_labels_of_train(write_file, tmp_path):
    write_file("train.tsv", "x\t10\ny\t2\nz\t10\n")
    write_file("dev.tsv", "")
    write_file("test.tsv", "")
    assert open_task(tmp_path).labels == ["2", "10"]


def test_open_task_prefers_labels_file(write_file, tmp_path):
    for name in ("train.tsv", "dev.tsv", "test.tsv"):
        write_file(name, "x\tb\n")
    write_file("labels.tsv", "c\nb\n")
    task = open_task(tmp_path)
    assert task.labels == task.all_labels == ["c", "b"]


def test_read_takes_text_and_label(task, write_file):
    path = write_file("train.tsv", 'a "b\tgood\n\n\t bad \n')
    assert task.read(path) == [LabelledText('a "b', None, "good"), LabelledText("", None, "bad")]


def test_read_takes_pairs(pair_task, write_file):
    assert pair_task.read(write_file("train.tsv", "a\tb\t01\n")) == [LabelledText("a", "b", "1")]


def test_read_reports_label_unseen_in_train_with_nearest(task, write_file):
    with pytest.raises(InputError, match=r"dev\.tsv, line 2: the label 'goood' is not among .* Did you mean 'good'\?"):
        task.read(write_file("dev.tsv", "x\tbad\ny\tgoood\n"))


def test_read_reports_missing_column_of_pairs(pair_task, write_file):
    with pytest.raises(InputError, match='line 1: 2 columns, expected 3(.|\n)*"text1<TAB>text2<TAB>label"'):
        pair_task.read(write_file("train.tsv", "a\t1\n"))


def test_read_unlabelled_ignores_further_columns(task, pair_task, write_file):
    path = write_file("transfer.tsv", "a\tb\tc\n")
    assert task.read(path, labelled=False) == [LabelledText("a")]
    assert pair_task.read(path, labelled=False) == [LabelledText("a", "b")]


def test_read_prediction_lines_keeps_every_line(task, pair_task, write_file):
    assert list(task.read_prediction_lines(write_file("a", "x\n\ny\tz\n"))) == [
        LabelledText("x"),
        LabelledText(""),
        LabelledText("y"),
    ]
    assert list(pair_task.read_prediction_lines(write_file("b", "x\ty\n\n")))[1] == LabelledText("", "")


def test_read_prediction_lines_reports_line_that_is_no_pair(pair_task, write_file):
    with pytest.raises(InputError, match=r"b, line 2: 1 column, expected at least 2"):
        list(pair_task.read_prediction_lines(write_file("b", "x\ty\nz\n")))


def test_example_checks_number_of_texts(task, pair_task):
    assert task.example("a") == LabelledText("a") and pair_task.example(("a", "b")) == LabelledText("a", "b")
    assert pair_task.text_of(pair_task.example(("a", "b"))) == "a\tb"
    with pytest.raises(InputError, match="1 text.* given where the task takes a pair of texts"):
        pair_task.example("a")
    with pytest.raises(InputError, match="2 text.* given where the task takes one text"):
        task.example(("a", "b"))


def test_encode_gives_one_row_and_one_label_each(task, tokenizer):
    rows = [LabelledText("the cat", None, "good"), LabelledText("cat " * 30, None, "bad")]
    features = task.encode(rows, tokenizer, 8)
    assert features.lengths.tolist() == [4, 8] and features.labels.tolist() == [1, 0]
    assert features.word_ids is None and features.example_ids.tolist() == [0, 1]


def test_encode_pairs_marks_the_second_text(pair_task, tokenizer):
    features = pair_task.encode([LabelledText("cat", "dog .", "1")], tokenizer, 16)
    assert tokenizer.tokens(features.input_ids) == "[CLS] cat [SEP] dog . [SEP]".split()
    assert features.token_type_ids.tolist() == [0, 0, 0, 1, 1, 1]


def test_encode_unlabelled_and_empty_have_no_labels(task, tokenizer):
    assert task.encode([LabelledText("a")], tokenizer, 8).labels is None
    assert len(task.encode([], tokenizer, 8)) == 0


def test_encode_legacy_pads_to_the_longest_row(task, tokenizer):
    features = task.encode([LabelledText("cat", None, "bad"), LabelledText("a b c", None, "bad")], tokenizer, 16, True)
    assert features.lengths.tolist() == [5, 5] and features.attention_mask.tolist() == [1, 1, 1, 0, 0, 1, 1, 1, 1, 1]


def test_encode_equals_inputs_recorded_from_the_original(shared_data):
    original = shared_data / "fixtures" / "original-release"
    recorded = np.load(original / "classification-plain" / "recorded.npz")
    task = SequenceClassification(["0", "1"])
    examples = task.read(original / "tasks" / "cls" / "test.tsv")
    features = task.encode(examples, Tokenizer.load(original / "checkpoints" / "teacher"), 16, original_rows=True)
    wide = features.padded_to(recorded["input_ids"].shape[1], 0)
    ours = sorted(zip(wide.input_ids.reshape(40, -1).tolist(), wide.labels.tolist(), strict=True))
    theirs = sorted(zip(recorded["input_ids"].tolist(), recorded["labels"].ravel().tolist(), strict=True))
    assert ours == theirs  # the original's are shuffled


def test_decode_and_predict_labels_take_the_most_probable_class(task, tokenizer):
    examples = [LabelledText("a"), LabelledText("b")]
    features = task.encode(examples, tokenizer, 8)
    probabilities = task.decode(features, [np.array([0.0, np.log(3)]), np.array([1.0, 0.0])], examples)
    assert np.allclose(probabilities[0], [0.25, 0.75]) and probabilities[0].dtype == np.float32
    assert task.predict_labels(probabilities) == ["good", "bad"]
    assert task.decode(features, [], []) == []


def test_score_compares_labels(task):
    scores = task.score([LabelledText("a", None, "good"), LabelledText("b", None, "bad")], ["good", "good"])
    assert scores["accuracy"] == 0.5 and scores["primary"] == "accuracy"


def test_task_from_labels_rebuilds_classification():
    task = task_from_labels(["0", "1"], KindSettings(do_pairwise=True))
    assert task.kind == "sequence_classification" and task.pairs and task.labels == ["0", "1"]
