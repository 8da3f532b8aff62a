"""Files of logits made elsewhere: the two forms, and all that is checked against the transfer file; no TensorFlow."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.command_fixtures import write_rows
from tests.distillation.logit_files import write_parquet
from xtremedistil.distillation.teacher_outputs import logit_files, npz_logits, parquet_logits
from xtremedistil.distillation.teacher_outputs.external_logits import open_external_logits
from xtremedistil.distillation.teacher_outputs.logit_checks import label_columns
from xtremedistil.errors import InputError
from xtremedistil.tasks import SequenceClassification, TokenClassification

TEXTS = ["the cat sat", "", "mary  ran", " \t", "in london"]  # five lines, three examples; "mary  ran" has three words
WORDS = [3, 3, 2]
TEXT_TASK = SequenceClassification(["animal", "town"])
TAG_TASK = TokenClassification(["O", "B-PER", "B-LOC"])


def by_example(count: int = 3) -> dict:
    """Logits 1.0, 1.5 of example 0; 2.0, 2.5 of example 1; ..."""
    logits = np.arange(1, count + 1)[:, None] + np.array([0, 0.5])
    return {"row_ids": np.arange(count), "logits": logits.astype(np.float32), "labels": np.array(["animal", "town"])}


def by_word() -> dict:
    """Word w of all eight has the logits w, w + 0.25, w + 0.5."""
    logits = (np.arange(8)[:, None] + np.array([0, 0.25, 0.5])).astype(np.float32)
    labels = np.array(["O", "B-PER", "B-LOC"])
    return {"row_ids": np.arange(3), "word_counts": np.array(WORDS), "logits": logits, "labels": labels}


@pytest.fixture
def transfer(tmp_path) -> Path:
    (tmp_path / "transfer.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    (tmp_path / "store").mkdir()
    return tmp_path / "transfer.txt"


@pytest.fixture
def load(transfer, tmp_path):
    """Writes arrays as .npz or .parquet and reads them as a run would."""

    def read(arrays: dict, form: str = "npz", task=None):
        task = task or (TAG_TASK if "word_counts" in arrays else TEXT_TASK)
        path = tmp_path / f"targets.{form}"
        np.savez(path, **arrays) if form == "npz" else write_parquet(path, **arrays)
        return open_external_logits(str(path), task, str(transfer), str(tmp_path / "store"))

    return read


@pytest.fixture(params=["npz", "parquet"])
def form(request) -> str:
    if request.param == "parquet":
        pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
    return request.param


# What is read


def test_rows_in_any_order_are_put_in_the_order_of_the_transfer_file(load, form):
    arrays = by_example()
    order = [2, 0, 1]
    found = load(arrays | {name: arrays[name][order] for name in ("row_ids", "logits")}, form)
    np.testing.assert_array_equal(found.values, [[1.0, 1.5], [2.0, 2.5], [3.0, 3.5]])
    np.testing.assert_array_equal(found.starts, [0, 1, 2, 3])
    assert found.values.dtype == np.float32


def test_words_of_rows_in_any_order_are_put_in_the_order_of_the_transfer_file(load, form):
    """The file holds example 2 (words 6, 7), then 0 (words 0 to 2), then 1 (words 3 to 5)."""
    arrays = by_word()
    shuffled = {"row_ids": np.array([2, 0, 1]), "word_counts": np.array([2, 3, 3])}
    found = load(arrays | shuffled | {"logits": arrays["logits"][[6, 7, 0, 1, 2, 3, 4, 5]]}, form)
    np.testing.assert_array_equal(found.values, arrays["logits"])
    np.testing.assert_array_equal(found.starts, [0, 3, 6, 8])


def test_columns_are_matched_by_the_names_of_labels(load, form):
    arrays = by_word()
    order = [1, 2, 0]
    found = load(arrays | {"logits": arrays["logits"][:, order], "labels": arrays["labels"][order]}, form)
    np.testing.assert_array_equal(found.values, arrays["logits"])


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", ">f4"])
def test_floats_of_every_kind_are_read(load, kind):
    arrays = by_example()
    np.testing.assert_array_equal(load(arrays | {"logits": arrays["logits"].astype(kind)}).values, arrays["logits"])


def test_blocks_change_nothing(load, form, monkeypatch, tmp_path):
    for module in (npz_logits, parquet_logits):
        monkeypatch.setattr(module, "ROWS_AT_A_TIME", 2)
    assert logit_files.ROWS_AT_A_TIME > 2
    np.testing.assert_array_equal(load(by_word(), form).values, by_word()["logits"])
    arrays = by_example()
    np.testing.assert_array_equal(load(arrays, form).values, arrays["logits"])


def test_npz_that_is_compressed_or_stored_column_by_column_is_read(transfer, tmp_path):
    arrays = by_example()
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    np.savez(tmp_path / "b.npz", **(arrays | {"logits": np.asfortranarray(arrays["logits"])}))
    for name in ("a.npz", "b.npz"):
        found = open_external_logits(str(tmp_path / name), TEXT_TASK, str(transfer), str(tmp_path / "store"))
        np.testing.assert_array_equal(found.values, arrays["logits"])


def test_integers_name_labels_that_are_integers(load):
    task = SequenceClassification(["0", "1"])
    assert load(by_example() | {"labels": np.array([1, 0])}, task=task).values[0].tolist() == [1.5, 1.0]


def test_parquet_with_lists_of_fixed_size_and_half_floats_is_read(transfer, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    kind = pyarrow.list_(pyarrow.float32(), 2)
    columns = {"row_id": pyarrow.array([1, 0, 2], pyarrow.int32())}
    columns["logits"] = pyarrow.array([[2.0, 2.5], [1.0, 1.5], [3.0, 3.5]], kind)
    table = pyarrow.table(columns | {"note": ["a", "b", "c"]}).replace_schema_metadata({"labels": '["animal", "town"]'})
    parquet.write_table(table, tmp_path / "t.parquet")
    found = open_external_logits(str(tmp_path / "t.parquet"), TEXT_TASK, str(transfer), str(tmp_path / "store"))
    np.testing.assert_array_equal(found.values, by_example()["logits"])


def written(folder) -> list[str]:
    """What is in the store, but for the lock."""
    return [path.name for path in (folder / "store").iterdir() if path.name != ".lock"]


def test_second_run_reads_what_the_first_has_made(load, transfer, tmp_path, monkeypatch):
    first = load(by_example())
    monkeypatch.setattr("xtremedistil.distillation.teacher_outputs.external_logits._write", None)
    np.testing.assert_array_equal(load(by_example()).values, first.values)
    assert len(written(tmp_path)) == 1


def test_other_label_order_of_the_task_is_not_served_from_the_store(load):
    load(by_example())
    assert load(by_example(), task=SequenceClassification(["town", "animal"])).values[0].tolist() == [1.5, 1.0]


def test_sha256_of_the_transfer_file_is_that_of_sha256sum(load, transfer, form):
    sha256 = hashlib.sha256(transfer.read_bytes()).hexdigest()
    assert len(load(by_example() | {"transfer_sha256": np.array(sha256.upper())}, form).values) == 3


# What is refused


@pytest.fixture
def assert_refused(load, tmp_path):
    def check(arrays: dict, *words: str, form: str = "npz", task=None) -> None:
        with pytest.raises(InputError) as caught:
            load(arrays, form, task)
        message = str(caught.value)
        assert f"targets.{form}" in message
        assert not [word for word in words if word not in message], message
        assert written(tmp_path) == []

    return check


def test_missing_repeated_and_unknown_rows_are_listed_together(assert_refused, form):
    arrays = by_example() | {"row_ids": np.array([1, 1, 3])}
    words = ["missing: 0, 2\n", "repeated: 1\n", "unknown: 3\n", "3 examples, numbered from 0 to 2", "blank lines"]
    assert_refused(arrays, *words, form=form)


def test_many_missing_rows_are_counted(load, tmp_path, transfer):
    write_rows(transfer, [("a",)] * 20)
    with pytest.raises(InputError, match=r"missing: 3, 4, 5, 6, 7, \.\.\. \(17 of them\)"):
        load(by_example())


def test_other_number_of_words_is_refused_with_the_line(assert_refused, form):
    arrays = by_word() | {"word_counts": np.array([3, 2, 3])}
    words = ["row id 1 has vectors of 2 words", "transfer.txt, line 3, has 3", "words: mary  ran", "empty ones too"]
    assert_refused(arrays, *words, form=form)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_value_that_is_not_finite_is_refused_with_its_row(assert_refused, form, value):
    arrays = by_word()
    arrays["logits"][4, 1] = value
    assert_refused(arrays, "a vector of row id 1 is not finite", str(value), "float32, not float16", form=form)


def test_other_transfer_file_is_refused(assert_refused, form):
    arrays = by_example() | {"transfer_sha256": np.array("0" * 64)}
    assert_refused(arrays, "made from another transfer file", "0" * 64, form=form)


def test_other_labels_are_refused(assert_refused, form):
    arrays = by_example() | {"labels": np.array(["LABEL_0", "town"])}
    assert_refused(arrays, "missing: animal", "not among the task's: LABEL_0", "exactly one column", form=form)


def test_label_columns_lists_every_fault():
    assert label_columns(["b", "a"], ["a", "b"], "it").tolist() == [1, 0]
    with pytest.raises(InputError, match="missing: b\n  not among the task's: c\n  more than once: a\n"):
        label_columns(["a", "a", "c"], ["a", "b"], "it")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"logits": np.zeros((2, 2), np.float32)}, ["logits is float32 [2, 2]; floats [3, 2] are expected"]),
        ({"logits": np.zeros((3, 3), np.float32)}, ["logits is float32 [3, 3]; floats [3, 2]"]),
        ({"logits": np.zeros(3, np.float32)}, ["logits is float32 [3]"]),
        ({"logits": np.zeros((3, 2), np.int64)}, ["logits is int64 [3, 2]"]),
        ({"row_ids": np.zeros(3)}, ["row_ids is float64 [3]; integers [N] are expected"]),
        ({"labels": np.array(["a", "b"], object)}, ["labels cannot be read", "not as Python objects"]),
        ({"labels": np.zeros(2)}, ["labels is float64 [2]; texts are expected"]),
        ({"word_counts": np.ones(3, int)}, ["for tagging. Give `do_NER`"]),
    ],
)
def test_npz_with_an_array_of_another_kind_is_refused(assert_refused, changes, words):
    assert_refused(by_example() | changes, *words, task=TEXT_TASK)


def test_npz_of_whole_texts_is_no_file_for_tagging(assert_refused):
    assert_refused(by_example(), "lacks word_counts; its arrays are row_ids, logits, labels", task=TAG_TASK)
    assert_refused(by_word() | {"word_counts": np.array([3, 3])}, "a number of at least 1 for each of the 3 row_ids")


def test_npz_that_lacks_arrays_is_refused(assert_refused):
    assert_refused({"arr_0": np.zeros(3)}, "lacks row_ids, logits, labels; its arrays are arr_0")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 something", b"\x93NUMPY"])
def test_file_that_is_no_npz_is_refused(transfer, tmp_path, content):
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"t\.npz: it cannot be read as part of an \.npz file"):
        open_external_logits(str(tmp_path / "t.npz"), TEXT_TASK, str(transfer), str(tmp_path / "store"))


def test_npz_whose_logits_end_early_is_refused(transfer, tmp_path):
    whole = io.BytesIO()
    np.save(whole, by_example()["logits"])
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        for name in ("row_ids", "labels"):
            part = io.BytesIO()
            np.save(part, by_example()[name])
            archive.writestr(f"{name}.npy", part.getvalue())
        archive.writestr("logits.npy", whole.getvalue()[:-4])
    with pytest.raises(InputError, match="logits cannot be read"):
        open_external_logits(str(tmp_path / "t.npz"), TEXT_TASK, str(transfer), str(tmp_path / "store"))


@pytest.mark.parametrize(
    "columns, notes, words",
    [
        ({"id": [0, 1, 2], "logits": [[0.0, 0.0]] * 3}, {}, "no column row_id; it has id, logits"),
        ({"row_id": [0.0, 1.0, 2.0], "logits": [[0.0, 0.0]] * 3}, {}, "row_id is of type double; an integer"),
        ({"row_id": [0, None, 2], "logits": [[0.0, 0.0]] * 3}, {}, "1 of the 3 row_id are null"),
        ({"row_id": [0, 1, 2], "logits": [0.0] * 3}, {}, "logits is of type double; a list of floats, one for each"),
        ({"row_id": [0, 1, 2], "logits": [[[0.0]]] * 3}, {}, "a list of floats, one for each label is expected"),
        ({"row_id": [0, 1, 2], "logits": [[0.0, 0.0]] * 3}, {}, "has no labels, a JSON list"),
        ({"row_id": [0, 1, 2], "logits": [[0.0, 0.0]] * 3}, {"labels": "animal,town"}, "labels in the metadata of"),
        (
            {"row_id": [0, 1, 2], "logits": [[0.0, 0.0], [0.0], None]},
            {"labels": '["animal", "town"]'},
            "row 2: 1 logits, but there are 2 labels",
        ),
        (
            {"row_id": [0, 1, 2], "logits": [[0.0, 0.0], None, [0.0, 0.0]]},
            {"labels": '["animal", "town"]'},
            "row 2: 0 logits, but there are 2 labels",
        ),
        (
            {"row_id": [0, 1, 2], "logits": [[0.0, 0.0], [None, 0.0], [0.0, 0.0]]},
            {"labels": '["animal", "town"]'},
            "row id 1 is not finite: nan, 0",
        ),
    ],
)
def test_parquet_of_another_layout_is_refused(transfer, tmp_path, columns, notes, words):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns).replace_schema_metadata(notes), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t\.parquet") as caught:
        open_external_logits(str(tmp_path / "t.parquet"), TEXT_TASK, str(transfer), str(tmp_path / "store"))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "rows, words",
    [
        ([[[0.0] * 3] * 3, [], [[0.0] * 3] * 2], "row 2: logits is empty or null"),
        ([[[0.0] * 3] * 3, [[0.0] * 3, [0.0], [0.0] * 3], [[0.0] * 3] * 2], "row 2: 1 logits, but there are 3"),
    ],
)
def test_parquet_for_tagging_with_a_bad_row_is_refused(transfer, tmp_path, rows, words):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"row_id": [0, 1, 2], "logits": rows})
    parquet.write_table(table.replace_schema_metadata({"labels": json.dumps(TAG_TASK.labels)}), tmp_path / "t.parquet")
    with pytest.raises(InputError) as caught:
        open_external_logits(str(tmp_path / "t.parquet"), TAG_TASK, str(transfer), str(tmp_path / "store"))
    assert words in str(caught.value)


def test_damaged_parquet_is_refused(transfer, tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match=r"t\.parquet cannot be read as Parquet"):
        open_external_logits(str(tmp_path / "t.parquet"), TEXT_TASK, str(transfer), str(tmp_path / "store"))


def test_full_disk_is_reported_with_the_size(load, monkeypatch, tmp_path):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(
        InputError,
        match=r"0.0 MB of a model's outputs could not be written(.|\n)*No space left(.|\n)*`teacher_outputs_dir`",
    ):
        load(by_example())
    assert written(tmp_path) == []
