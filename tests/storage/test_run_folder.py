import json

import numpy as np
import pytest

from xtremedistil.data.features import Features
from xtremedistil.data.padding import pad_rows, padded_width
from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.storage import files, model_folder, run_folder
from xtremedistil.storage.folders import locked


def claimed(folder, **settings):
    run_folder.bind_run(str(folder), settings, overwrite=False)
    return str(folder)


def test_claim_of_other_settings_names_each_difference(tmp_path):
    folder = claimed(tmp_path, seed=1, patience=5)
    with pytest.raises(InputError, match=r"patience: 5 there, 6 now"):
        run_folder.check_run(folder, {"seed": 1, "patience": 6})
    run_folder.check_run(folder, {"seed": 1, "patience": 5})


def test_folder_begun_with_another_teacher_is_refused(tmp_path):
    folder = claimed(tmp_path, seed=1)
    run_folder.bind_teacher(folder, "one")
    run_folder.bind_teacher(folder, "one")
    run_folder.check_run(folder, {"seed": 1})
    with pytest.raises(InputError, match=r"started with another model-ft\.h5"):
        run_folder.bind_teacher(folder, "two")


def test_overwrite_removes_the_run_but_not_the_teacher(tmp_path):
    folder = claimed(tmp_path, seed=1)
    for name in ("model-stage-1-indx-0.h5", model_folder.TEACHER_WEIGHTS):
        (tmp_path / name).write_bytes(b"x")
    run_folder.bind_run(folder, {"seed": 2}, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [model_folder.TEACHER_WEIGHTS, run_folder.RUN_SETTINGS]
    assert json.loads((tmp_path / run_folder.RUN_SETTINGS).read_text()) == {"seed": 2}


def test_atomic_file_leaves_the_old_file_when_its_block_fails(tmp_path):
    path = tmp_path / "predictions.txt"
    path.write_text("old")
    with pytest.raises(MissingFileError, match="input is gone"), files.atomic_file(str(path)) as file:
        file.write("new")
        raise MissingFileError("input is gone")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["predictions.txt"]


def test_fingerprint_of_rows_tells_other_ids_and_other_borders_apart():
    one = Features.from_rows([[1, 2], [3]])
    assert one.fingerprint() == Features.from_rows([[1, 2], [3]]).fingerprint()
    assert one.fingerprint() != Features.from_rows([[1, 2], [4]]).fingerprint()
    assert one.fingerprint() != Features.from_rows([[1], [2, 3]]).fingerprint()


def test_padded_width_is_a_multiple_of_eight_but_never_more_than_the_longest_row():
    features = Features.from_rows([[1] * 3, [1] * 9, [1] * 13])
    assert padded_width(features, np.array([0])) == 8
    assert padded_width(features, np.array([0, 1])) == 13
    assert pad_rows(features, np.array([0, 2]), 13, pad_id=7)["input_ids"][0].tolist() == [1] * 3 + [7] * 10


def test_changed_file_is_told_in_words_not_in_fingerprints(tmp_path):
    folder = claimed(tmp_path, train="a" * 64)
    with pytest.raises(InputError, match="train: the file has changed"):
        run_folder.check_run(folder, {"train": "b" * 64})


def test_lock_leaves_no_new_folder_behind_when_its_run_wrote_nothing(tmp_path):
    with pytest.raises(InputError, match="bad data"), locked(str(tmp_path / "new")):
        raise InputError("bad data")
    assert not (tmp_path / "new").exists()


def test_lock_keeps_a_folder_that_was_there(tmp_path):
    with locked(str(tmp_path)):
        pass
    assert tmp_path.is_dir()


def test_run_keeps_to_a_live_teacher_or_to_disk_as_it_began(tmp_path):
    folder = claimed(tmp_path, seed=1)
    assert run_folder.fix_live_mode(folder, True)
    assert run_folder.fix_live_mode(folder, False)
    run_folder.check_run(folder, {"seed": 1})
