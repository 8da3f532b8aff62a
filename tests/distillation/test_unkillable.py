"""Runs that are killed, or whose disk is full, at any moment: they go on, and end with the bytes of one left alone."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_fixtures import contents

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
FLAGS = {"hidden_size": 8, "distil_attention": True, "compress_word_embedding": True, "distil_chunk_size": 16}
FLAGS |= {"save_steps": 2, "ft_epochs": 2, "baseline": True}


def test_run_killed_again_and_again_ends_with_the_same_bytes(tmp_path):
    command = [sys.executable, ROOT / "benchmarks/kill.py", "--kills", "40", "--folder", tmp_path / "kill"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "the same bytes"
    assert done.stdout.count("kill ") == 40
    assert done.stdout.count(".partial") > 2, "kills before a file took its place"


@pytest.fixture
def at_file(monkeypatch):
    """A block within which something happens, once, when a run would put a file of the name given in place."""
    replace = os.replace

    @contextlib.contextmanager
    def within(name: str, happen: Callable[[], None]):
        waiting = [happen]

        def replaced(source, target, **arguments):
            if waiting and name in str(target):
                waiting.pop()()
            return replace(source, target, **arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replaced)
            yield
        assert not waiting, f"no file {name} was written"

    return within


def test_run_that_is_asked_to_end_anywhere_ends_with_143_and_goes_on(tagging, at_file, eagerly, run_command, tmp_path):
    """In the teacher's tuning, its outputs, a stage and at its border, and in the last files."""
    flags = tagging.flags(tmp_path / "m", **FLAGS)
    moments = ["snapshots", "model-ft.h5", "chunk-0/hidden_states", "chunk-0/targets.json", "model-stage-1-indx-0.h5"]
    moments += ["model-stage-1-indx-16-history.json", "snapshots", "model-stage-6.h5", "xtremedistil.h5", "report.json"]
    for moment in moments:
        with at_file(moment, lambda: os.kill(os.getpid(), signal.SIGTERM)):
            outcome = run_command("distil", *flags)
        assert outcome.code == 143, (moment, outcome.err)
        assert not [name for name in contents(tmp_path / "m") if name.endswith(".partial")]
    assert run_command("distil", *flags).code == 0
    assert run_command("distil", *tagging.flags(tmp_path / "undisturbed", **FLAGS)).code == 0
    assert contents(tmp_path / "m")["xtremedistil.h5"] == contents(tmp_path / "undisturbed")["xtremedistil.h5"]


@pytest.fixture
def full_at(monkeypatch):
    """A block within which the disk of a folder is full from the n-th write on.

    What counts: files that are opened to be written, made safe, put in place, given room; and folders that are made.
    """

    @contextlib.contextmanager
    def within(folder: Path, number: int):
        seen = [0]

        def is_there(path) -> bool:
            return isinstance(path, int) or str(path).startswith(str(folder))

        def counted(function: Callable, writes: Callable[..., bool]) -> Callable:
            def call(*arguments, **named):
                seen[0] += writes(*arguments)
                if writes(*arguments) and seen[0] >= number:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return function(*arguments, **named)

            return call

        with monkeypatch.context() as patch:
            for name in ("fsync", "makedirs", "posix_fallocate"):
                patch.setattr(os, name, counted(getattr(os, name), lambda path, *_: is_there(path)))
            patch.setattr(os, "replace", counted(os.replace, lambda source, target: is_there(target)))
            opens = counted(open, lambda path, mode="r", *_: is_there(path) and bool(set(mode) & set("wa+")))
            patch.setattr("builtins.open", opens)
            yield

    return within


def test_disk_that_is_full_at_any_write_leaves_the_last_state_intact(tagging, full_at, eagerly, run_command, tmp_path):
    """Each run goes on from the one before, with room for as few writes as bring it any further."""
    flags = tagging.flags(tmp_path / "m", **FLAGS)
    before, number, failures = {}, 1, 0
    while True:
        with full_at(tmp_path / "m", number):
            outcome = run_command("distil", *flags)
        if not outcome.code:
            break
        assert outcome.code == 2, (number, outcome.err)
        assert "Traceback" not in outcome.err and "No space left on device" in outcome.err, outcome.err
        there = contents(tmp_path / "m") if (tmp_path / "m").is_dir() else {}
        finished = {name for name in before if name.endswith((".h5", "-history.json")) and "snapshots" not in name}
        assert all(there[name] == before[name] for name in finished), number
        assert not [name for name in there if name.endswith(".partial")]
        before, number, failures = there, number + (there == before), failures + 1
    assert failures > 50
    assert run_command("distil", *tagging.flags(tmp_path / "roomy", **FLAGS)).code == 0
    assert contents(tmp_path / "m")["xtremedistil.h5"] == contents(tmp_path / "roomy")["xtremedistil.h5"]


@pytest.fixture
def disk(tmp_path):
    """A folder on a disk of its own, and a function that gives it so many KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options) -> int:
        return subprocess.run(["mount", *options, str(folder)], capture_output=True).returncode

    if os.geteuid() or mount("-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        pytest.skip("only root can mount a small disk")
    yield folder, lambda size: mount("-o", f"remount,size={size}k")
    subprocess.run(["umount", "-l", str(folder)], check=True)  # arrays of the run are still mapped


def test_run_on_a_disk_that_is_full_at_every_write_goes_on_when_there_is_room(
    tagging, disk, eagerly, run_command, tmp_path
):
    """The disk grows by a little each time the run has filled it, so that each of its writes meets a full one."""
    folder, resize = disk
    assert run_command("distil", *tagging.flags(tmp_path / "roomy", **FLAGS)).code == 0
    size, failures, before = 64, 0, {}
    while (outcome := run_command("distil", *tagging.flags(folder / "m", **FLAGS))).code:
        assert outcome.code == 2, outcome.err
        assert "Traceback" not in outcome.err
        assert "No space left on device" in outcome.err or "left.\nFree some space" in outcome.err, outcome.err
        there = contents(folder)
        finished = {name for name in before if name.endswith((".h5", "-history.json")) and "snapshots" not in name}
        assert all(there[name] == before[name] for name in finished)
        assert not [name for name in there if name.endswith(".partial")]
        before, size, failures = there, size + 40, failures + 1
        assert resize(size) == 0
    assert failures > 10
    roomy = tmp_path / "roomy"
    assert (folder / "m/xtremedistil.h5").read_bytes() == (roomy / "xtremedistil.h5").read_bytes()
    assert without_targets(folder / "m") == without_targets(roomy)


def without_targets(folder: Path) -> set[str]:
    """A small disk keeps fewer of them."""
    return {name for name in contents(folder) if not name.startswith("teacher-targets")}
