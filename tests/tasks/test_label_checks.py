"""Files of another layout parse as a task too; what gives them away."""

import pytest

from xtremedistil.errors import InputError
from xtremedistil.tasks import KindSettings, open_task
from xtremedistil.tasks.label_checks import check_class_rows

MULTI = KindSettings(task_kind="multi_label_classification")
TAGS = KindSettings(do_NER=True)


def rows(*lines: str) -> list:
    return [(number, line.split("\t")) for number, line in enumerate(lines, 1)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["text\tlabel", "a\tx", "b\ty"], r"line 1: this is a header \(text, label\).* Remove the line"),
        (["Sentence1\tsentence2\tgold_label", "a\tb\tx", "a\tc\ty"], "line 1: this is a header"),
        (["a\t3.800", "b\t1.25", "c\t0.0"], r"numbers with fractions \(3.800, 1.25, 0.0\), which look like scores"),
        (["a\tjoy", "b\tsurprise", "c\tjoy,surprise"], "'joy,surprise' joins others.*`task_kind` multi_label"),
        (["a\tjoy, fear", "b\tfear, joy", "c\tsad"], "'joy, fear' joins others"),
        (["a\tx", "b\tx"], "all 2 rows have the label 'x'. Two classes are needed"),
        (["a\tx", "b\t ", "c\ty"], "line 2: the label is empty"),
        (["john ran\tB-PER O", "rome is\tB-LOC O"], r"a tag for each word \(B-PER O, B-LOC O\).* give `do_NER`"),
        (["john\tB-PER", "ran\tO", "rome\tB-LOC"], "a tag for each word"),
        ([f"a{n}\tanswer {n}" for n in range(60)], "60 different labels in 60 rows.* list them in labels.tsv"),
    ],
)
def test_column_that_holds_no_classes_is_refused(lines, message):
    with pytest.raises(InputError, match=f"(?s)t.tsv.*{message}"):
        check_class_rows("t.tsv", rows(*lines))


@pytest.mark.parametrize(
    "lines",
    [
        ["a\t0", "b\t1", "c\t2"],
        ["a\t1.0", "b\tx", "c\ty"],
        ["label\tlabel", "b\tlabel", "c\tx"],  # the cell occurs again: no header
        ["text\tham", "b\tspam"],
        ["a\tU.S., politics", "b\tsports"],  # the parts of this label are no labels
        ["john\tperson", "rome\tplace"],
    ],
)
def test_column_of_classes_passes(lines):
    check_class_rows("t.tsv", rows(*lines))


@pytest.mark.parametrize("label", ["ham", "text,ham"])
def test_rows_of_several_labels_may_have_none_or_one(label):
    check_class_rows("t.tsv", rows(f"a\t{label}", "b\t"), several=True)
    with pytest.raises(InputError, match="header"):
        check_class_rows("t.tsv", rows("text\tlabels", f"a\t{label}"), several=True)


def write_task(folder, train: str, labels: str = "") -> str:
    for name in ("train", "dev", "test"):
        (folder / f"{name}.tsv").write_text(train, encoding="utf-8")
    if labels:
        (folder / "labels.tsv").write_text(labels, encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ("john\tB-PER\nran\tO\n\nrome\tB-LOC\n", "empty lines between sentences"),
        ("new\tB-LOC\nyork\tI-LOC\n", "a tag inside a chunk in line 2"),
    ],
)
def test_conll_file_is_not_read_as_sentences_of_one_word(tmp_path, lines, what):
    task = open_task(write_task(tmp_path, lines, "O\nB-PER\nB-LOC\nI-LOC\n"), TAGS)
    with pytest.raises(InputError, match=rf"has one word, and there are {what}.*: this is a CoNLL file. Expected"):
        task.read(tmp_path / "train.tsv")


def test_sentences_of_one_word_are_read(tmp_path):
    task = open_task(write_task(tmp_path, "john\tB-PER\nran\tO\nrome\tB-LOC\n", "O\nB-PER\nB-LOC\nI-LOC\n"), TAGS)
    assert len(task.read(tmp_path / "train.tsv")) == 3


def test_kind_of_task_that_the_columns_tell_is_named(tmp_path):
    folder = write_task(tmp_path, "john ran\tB-PER O\n", "O\nB-PER\n")
    with pytest.raises(InputError, match="'B-PER O' are several labels of labels.tsv, one for each word.*`do_NER`"):
        open_task(folder).read(tmp_path / "train.tsv")
    (tmp_path / "labels.tsv").unlink()
    with pytest.raises(InputError, match="(?s)3 columns, expected 2.*give `do_pairwise`"):
        open_task(write_task(tmp_path, "a\tb\tx\n"))
    with pytest.raises(InputError, match="(?s)2 columns, expected 3.*leave `do_pairwise` away"):
        open_task(write_task(tmp_path, "a\tx\n"), KindSettings(do_pairwise=True))


def test_counts_are_told_by_label(tmp_path):
    task = open_task(write_task(tmp_path, "a\tspam\nb\tham\nc\tham\n"))
    assert task.counts("train", task.read(tmp_path / "train.tsv")) == "train: 3 rows; labels ham 2, spam 1"
    tags = open_task(write_task(tmp_path, "john ran\tB-PER O\nrome is\tO O\n", "O\nB-PER\nB-LOC\n"), TAGS)
    counts = tags.counts("dev", tags.read(tmp_path / "dev.tsv"))
    assert counts == "dev: 2 rows; labels O 3, B-PER 1; none of B-LOC"
    several = open_task(write_task(tmp_path, "a\tx,y\nb\t\nc\ty\n", "x\ny\n"), MULTI)
    assert several.counts("test", several.read(tmp_path / "test.tsv")) == "test: 3 rows; labels x 1, y 2"
