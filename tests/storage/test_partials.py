"""Two writers of one place: each has a name of its own, and what a killed one left behind goes."""

import os
import subprocess
import sys
import threading

import pytest

from xtremedistil.storage import files, partials
from xtremedistil.storage.folders import new_folder

KILLED = """
import os, sys
from xtremedistil.storage import files, folders
place = sys.argv[2]
with files.atomic_file(place) if sys.argv[1] == "file" else folders.new_folder(place) as written:
    os.kill(os.getpid(), 9)
"""


def test_two_writers_of_one_file_do_not_meet_and_the_last_stays(tmp_path):
    path = str(tmp_path / "predictions.txt")
    with files.atomic_file(path) as first:
        first.write("first\n" * 100_000)
        with files.atomic_file(path) as second:
            second.write("second\n")
        assert (tmp_path / "predictions.txt").read_text() == "second\n"
        first.write("end\n")
    text = (tmp_path / "predictions.txt").read_text()
    assert text == "first\n" * 100_000 + "end\n"
    assert os.listdir(tmp_path) == ["predictions.txt"]


def test_writers_in_threads_always_leave_one_whole_file(tmp_path):
    path, faults = str(tmp_path / "a.json"), []

    def write(number: int) -> None:
        for _ in range(20):
            files.write_json(path, {"writer": [number] * 1000})
            values = files.read_json(path)["writer"]
            if len(values) != 1000 or len(set(values)) != 1:
                faults.append(values)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults and os.listdir(tmp_path) == ["a.json"]


def test_two_writers_of_one_folder_do_not_meet(tmp_path):
    out = str(tmp_path / "out")
    with new_folder(out) as first:
        with new_folder(out) as second:
            (tmp_path / second / "second").touch()
        (tmp_path / first / "first").touch()
    assert (os.listdir(out), os.listdir(tmp_path)) == (["first"], ["out"])


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_writer_left_goes_when_the_place_is_written_again(tmp_path, kind):
    place = str(tmp_path / "place")
    assert subprocess.run([sys.executable, "-c", KILLED, kind, place]).returncode == -9
    assert len(os.listdir(tmp_path)) == 1 and not os.path.exists(place)
    with files.atomic_file(place) if kind == "file" else new_folder(place):
        pass
    assert os.listdir(tmp_path) == ["place"]


def test_files_of_like_names_are_left_alone(tmp_path):
    names = {"a.txt.partial", "a.txt.0123456.partial", "b.txt.01234567.partial", "xa.txt.01234567.partial"}
    for name in names:
        (tmp_path / name).touch()
    partials.remove_abandoned(str(tmp_path / "a.txt"))
    assert set(os.listdir(tmp_path)) == names
