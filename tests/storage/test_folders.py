"""A folder appears whole, or what was there stays."""

import errno
import os

import pytest

from xtremedistil.errors import InputError
from xtremedistil.storage.folders import new_folder


@pytest.fixture
def out(tmp_path) -> str:
    """A folder with one old file."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").write_text("old")
    return str(tmp_path / "out")


def write(folder: str, text: str = "new") -> None:
    with open(os.path.join(folder, "new.txt"), "w") as file:
        file.write(text)


def test_new_folder_replaces_the_old_one(out, tmp_path):
    with new_folder(out) as folder:
        write(folder)
        assert os.listdir(out) == ["old.txt"]
    assert os.listdir(out) == ["new.txt"]
    assert os.listdir(tmp_path) == ["out"]


def test_error_leaves_the_old_folder_alone_and_names_its_place(out, tmp_path):
    with pytest.raises(InputError) as caught, new_folder(out) as folder:
        write(folder)
        raise InputError(f"{folder}/new.txt cannot be written.")
    assert str(caught.value) == f"{out}/new.txt cannot be written."
    assert (os.listdir(out), os.listdir(tmp_path)) == (["old.txt"], ["out"])


def test_folder_that_cannot_take_its_place_leaves_the_old_one_there(out, tmp_path, monkeypatch):
    rename = os.rename

    def fails_for_the_new_one(source, target):
        if source.endswith(".partial"):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        rename(source, target)

    monkeypatch.setattr(os, "rename", fails_for_the_new_one)
    with pytest.raises(InputError, match="out cannot be written: Permission denied. What was there is intact."):
        with new_folder(out) as folder:
            write(folder)
    assert (os.listdir(out), os.listdir(tmp_path)) == (["old.txt"], ["out"])
