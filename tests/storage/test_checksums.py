"""Files that a later command reads: a damaged one is refused by name, whatever moment a writer was killed at."""

import json
import os

import numpy as np
import pytest

from xtremedistil.errors import InputError
from xtremedistil.storage import checksums, files
from xtremedistil.storage.model_folder import fingerprint_checkpoint


@pytest.fixture
def folder(tmp_path) -> str:
    """A folder with a record of a weight file, a table and a configuration."""
    for name in ("xtremedistil.h5", "other.h5"):
        with checksums.vouched_file(str(tmp_path / name), "wb") as file:
            file.write(name.encode() * 10)
    checksums.write_vouched_array(str(tmp_path / "word_embedding.npy"), np.ones((3, 2), np.float32))
    checksums.write_vouched_json(str(tmp_path / "xtremedistil-config.json"), {"seq_len": 8})
    return str(tmp_path)


def flip(folder: str, name: str, place: int = -1) -> None:
    path = os.path.join(folder, name)
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        data[place] ^= 1
        file.seek(0)
        file.write(data)


NAMES = ["xtremedistil.h5", "word_embedding.npy", "xtremedistil-config.json"]


def test_files_as_written_are_accepted(folder):
    checksums.check_files(folder)
    assert sorted(json.loads(open(os.path.join(folder, "checksums.json")).read())["sha256"]) == sorted(
        [*NAMES, "other.h5"]
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty"])
def test_damaged_file_is_refused_by_name_and_the_way_out_is_told(folder, name, damage):
    path = os.path.join(folder, name)
    if damage == "flipped":
        flip(folder, name)
    else:
        os.truncate(path, 0 if damage == "empty" else os.path.getsize(path) // 2)
    with pytest.raises(InputError) as caught:
        checksums.check_files(folder, ["xtremedistil.h5", "word_embedding.npy"])
    assert path in str(caught.value) and "`accept_weights`" in str(caught.value)
    checksums.check_files(folder, accept=True)


def test_large_file_that_is_not_read_is_not_checked(folder):
    flip(folder, "other.h5")
    checksums.check_files(folder, ["xtremedistil.h5"])
    checksums.check_file(os.path.join(folder, "xtremedistil.h5"))
    with pytest.raises(InputError, match="other.h5 is not as written"):
        checksums.check_files(folder)


def test_damaged_record_is_refused_by_name(folder):
    flip(folder, "checksums.json", 30)
    with pytest.raises(InputError, match="checksums.json is damaged"):
        checksums.check_files(folder)


def test_folder_without_record_and_files_without_checksum_are_accepted(folder, tmp_path):
    (tmp_path / "mine.h5").write_bytes(b"mine")
    checksums.check_files(folder, ["mine.h5"])
    os.remove(tmp_path / "checksums.json")
    flip(folder, "xtremedistil.h5")
    checksums.check_files(folder)
    checksums.check_files(str(tmp_path / "missing"))


def test_file_that_is_not_there_is_passed_over(folder):
    os.remove(os.path.join(folder, "word_embedding.npy"))
    checksums.check_files(folder)


@pytest.mark.parametrize("recorded", [True, False])
def test_writer_that_is_killed_at_any_moment_leaves_a_folder_that_is_accepted(folder, tmp_path, monkeypatch, recorded):
    """The same file is written again and again; each time the writer dies at a later change of a file's place."""
    path, replace = str(tmp_path / "xtremedistil.h5"), os.replace
    if not recorded:
        checksums.forget(folder, ["xtremedistil.h5"])
    for moment in range(4):
        left = [moment]

        def dies(source, target, left=left):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            replace(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dies)
            try:
                with checksums.vouched_file(path, "wb") as file:
                    file.write(b"new %d" % moment)
            except KeyboardInterrupt:
                pass
        checksums.check_files(folder)
    assert files.read_sealed(str(tmp_path / "checksums.json"))["replaced"] == {}
    flip(folder, "xtremedistil.h5")
    with pytest.raises(InputError, match="xtremedistil.h5 is not as written"):
        checksums.check_files(folder)


def test_record_of_a_damaged_record_begins_anew(folder, tmp_path):
    flip(folder, "checksums.json", 30)
    checksums.write_vouched_json(str(tmp_path / "new.json"), {})
    checksums.check_files(folder)


def test_vouch_takes_files_as_they_are(folder):
    flip(folder, "xtremedistil.h5")
    checksums.vouch(folder, ["xtremedistil.h5", "missing.h5"])
    checksums.check_files(folder)


def test_forgotten_files_leave_no_record(folder, tmp_path):
    checksums.forget(folder, [*NAMES, "other.h5"])
    assert not (tmp_path / "checksums.json").exists()
    checksums.forget(folder, NAMES)


def test_checkpoint_has_the_same_fingerprint_with_and_without_record(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    before = fingerprint_checkpoint(str(tmp_path))
    checksums.vouch(str(tmp_path), ["config.json"])
    assert fingerprint_checkpoint(str(tmp_path)) == before
