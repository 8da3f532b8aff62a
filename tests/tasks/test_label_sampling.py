"""A task with a sample of its labels."""

import gzip

import pytest

from tests.command_fixtures import write_rows, write_tagging_task, write_text_task
from xtremedistil.errors import InputError
from xtremedistil.tasks import KindSettings, open_task
from xtremedistil.tasks.label_sampling import draw, few_rows, write_few_labels

LABELS = [("common",)] * 40 + [("rare",), ("other",)]


@pytest.mark.parametrize("seed", range(5))
def test_each_label_is_drawn_and_as_many_rows_as_were_asked_for(seed):
    rows = draw(LABELS, 5, seed)
    assert len(set(rows)) == 5 and rows == sorted(rows)
    assert {LABELS[row] for row in rows} == set(LABELS)


def test_seed_decides_and_a_smaller_sample_is_part_of_a_bigger_one():
    assert draw(LABELS, 5, 1) == draw(LABELS, 5, 1) != draw(LABELS, 5, 2)
    assert set(draw(LABELS, 5, 1)) < set(draw(LABELS, 20, 1))
    assert draw(LABELS, len(LABELS), 1) == list(range(len(LABELS)))


def test_task_of_the_rows_reads_as_the_whole_task_does(tmp_path):
    write_text_task(tmp_path / "task")
    (tmp_path / "task/train.tsv").write_bytes((tmp_path / "task/train.tsv").read_bytes().replace(b"\n", b"\r\n\r\n"))
    (tmp_path / "task/dev.tsv.gz").write_bytes(gzip.compress((tmp_path / "task/dev.tsv").read_bytes()))
    (tmp_path / "task/dev.tsv").unlink()
    whole = open_task(tmp_path / "task")
    rows = few_rows(whole, str(tmp_path / "task"), 6, seed=3)
    write_few_labels(str(tmp_path / "few"), str(tmp_path / "task"), rows)
    assert {path.name for path in (tmp_path / "few").iterdir()} == {"train.tsv", "dev.tsv.gz", "test.tsv"}
    few, examples = open_task(tmp_path / "few"), whole.read(tmp_path / "task/train.tsv")
    assert few.labels == whole.labels
    assert few.read(tmp_path / "few/train.tsv") == [examples[row] for row in rows]
    assert len(few.read(tmp_path / "few/dev.tsv")) == 10


def test_sentences_are_drawn_whatever_their_tags(tmp_path):
    write_tagging_task(tmp_path / "task")
    rows = few_rows(open_task(tmp_path / "task", KindSettings(do_NER=True)), str(tmp_path / "task"), 1, seed=3)
    write_few_labels(str(tmp_path / "few"), str(tmp_path / "task"), rows)
    assert len((tmp_path / "few/train.tsv").read_text().splitlines()) == 1
    assert (tmp_path / "few/labels.tsv").read_text() == "O\nB-PER\nB-LOC\n"


@pytest.mark.parametrize("count, words", [(2, "at least 3, one for each label, and at most 4"), (5, "has 4 rows")])
def test_sample_that_cannot_be_drawn_is_refused(tmp_path, count, words):
    (tmp_path / "task").mkdir()
    for name in ("train", "dev", "test"):
        write_rows(tmp_path / f"task/{name}.tsv", [("text", label) for label in ("a", "b", "c", "a")])
    with pytest.raises(InputError, match=f"`target_labels` {count}.*{words}"):
        few_rows(open_task(tmp_path / "task"), str(tmp_path / "task"), count, seed=3)
