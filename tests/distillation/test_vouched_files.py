"""Commands that meet a model file which is not as it was written, or a folder that another run has."""

import fcntl
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.command_fixtures import assert_refused, contents, main_flags
from xtremedistil.errors import InputError
from xtremedistil.storage import folders

pytest.importorskip("tensorflow")

import h5py  # noqa: E402

from xtremedistil import load_predictor, load_student  # noqa: E402
from xtremedistil.distillation.pipeline import distil  # noqa: E402

READ = ["xtremedistil.h5", "word_embedding.npy", "xtremedistil-config.json", "tokenizer.json", "vocab.txt"]


@pytest.fixture
def student(distilled, tmp_path) -> Path:
    return Path(shutil.copytree(distilled / "student", tmp_path / "student"))


def flip(path: Path) -> None:
    """Changes a byte that leaves JSON, HDF5 and NumPy files readable, where there is one."""
    data = bytearray(path.read_bytes())
    place = data.index(b'"seq_len": 12') + 12 if b'"seq_len": 12' in data else len(data) - 3
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("verb", ["predict", "export", "ft"])
def test_damaged_file_is_refused_by_name(student, run_command, no_training, verb, name):
    flip(student / name)
    before = contents(student)
    outcome = run_command(verb, "--model_dir", student, *(["--do_eval"] if verb == "predict" else []))
    assert_refused(outcome, f"{student / name} is not as written", "--accept_weights")
    assert contents(student) == before


@pytest.fixture
def no_training(monkeypatch):
    def fail(plan):
        raise AssertionError("training was about to begin")

    monkeypatch.setattr("xtremedistil.finetuning.finetune.continue_training", fail)


def test_changed_weights_are_accepted_when_asked_for(student, run_command):
    with h5py.File(student / "xtremedistil.h5", "r+") as file:
        file.attrs["note"] = "mine"
    with pytest.raises(InputError, match="xtremedistil.h5 is not as written"):
        load_predictor(str(student))
    with pytest.raises(InputError, match="xtremedistil.h5 is not as written"):
        load_student(str(student))
    outcome = run_command("predict", "--model_dir", student, "--do_eval", "--accept_weights")
    assert outcome.code == 0, outcome.err


def test_stage_that_is_predicted_with_is_checked(student, run_command):
    stage = min(path.name for path in student.glob("model-stage-*.h5"))
    flip(student / stage)
    outcome = run_command("predict", "--model_dir", student, "--do_eval", "--weights", stage)
    assert_refused(outcome, f"{student / stage} is not as written")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["xtremedistil.h5", "word_embedding.npy"])
def test_numbers_that_are_none_are_refused_without_a_record_too(student, name, value):
    (student / "checksums.json").unlink()
    if name.endswith(".npy"):
        table = np.load(student / name)
        table[1, 1] = value
        np.save(student / name, table)
    else:
        with h5py.File(student / name, "r+") as file:
            layer = file[[layer for layer in file if file[layer].attrs["weight_names"].size][-1]]
            weights = layer[layer.attrs["weight_names"][0]]
            weights[...] = np.full(weights.shape, value, np.float32)
    if name == "word_embedding.npy" and not _reads_table(student):
        pytest.skip("this student's word embeddings are in its weight file")
    with pytest.raises(InputError, match=f"{name}: .*infinite numbers, NaN"):
        load_student(str(student), accept_weights=True)


def _reads_table(student: Path) -> bool:
    with h5py.File(student / "xtremedistil.h5") as file:
        names: list[str] = []
        file.visit(names.append)
    return not any("word_embeddings" in name for name in names)


@pytest.fixture
def after_the_teacher(monkeypatch):
    """Ends a run once it has its teacher."""

    def end(*_):
        raise InputError("the teacher was read")

    monkeypatch.setattr(distil, "initial_student", end)


def test_damaged_teacher_is_refused_by_name(tagging, distilled, run_command, tmp_path):
    teacher = Path(shutil.copytree(distilled / "teacher", tmp_path / "teacher"))
    flip(teacher / "model-ft.h5")
    outcome = run_command("distil", *tagging.flags(tmp_path / "m", teacher_model_dir=teacher))
    assert_refused(outcome, f"{teacher / 'model-ft.h5'} is not as written", "--accept_weights")
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_finished_teacher_is_read_while_another_run_has_its_folder(
    tagging, distilled, run_command, after_the_teacher, tmp_path
):
    teacher = Path(shutil.copytree(distilled / "teacher", tmp_path / "teacher"))
    with open(teacher / folders.LOCK, "w") as other_run:
        fcntl.flock(other_run, fcntl.LOCK_EX)
        outcome = run_command("distil", *tagging.flags(tmp_path / "m", teacher_model_dir=teacher))
    assert (outcome.code, "the teacher was read" in outcome.err) == (2, True), outcome.err


def test_finished_run_is_read_while_another_has_its_folder(tagging, distilled, run_command, tmp_path):
    shutil.copytree(distilled, tmp_path / "run")
    with open(tmp_path / "run/student" / folders.LOCK, "w") as other_run:
        fcntl.flock(other_run, fcntl.LOCK_EX)
        outcome = run_command("distil", *main_flags(tagging, tmp_path / "run"))
    assert outcome.code == 0 and "has finished before" in outcome.err


def test_student_is_of_use_in_whatever_folder_commands_are_given(tagging, monkeypatch):
    """Relative names of folders are saved as absolute ones."""
    monkeypatch.chdir(tagging.task.parent)
    found = distil._absolute({"task": tagging.task.name, "pt_teacher_checkpoint": "bert-base-cased", "seed": 1})
    assert found == {"task": str(tagging.task)}
