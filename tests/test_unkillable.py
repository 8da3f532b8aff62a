"""Runs that are killed, or whose disk is full, at any moment: they go on, and end with the bytes of one left alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_fixtures import contents

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
FLAGS = {"hidden_size": 8, "distil_attention": True, "compress_word_embedding": True, "distil_chunk_size": 16}
FLAGS |= {"save_steps": 2, "ft_epochs": 2, "baseline": True}


def test_run_killed_again_and_again_ends_with_the_same_bytes(tmp_path):
    command = [sys.executable, ROOT / "benchmarks/kill.py", "--kills", "8", "--folder", tmp_path / "kill"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "the same bytes"
    assert done.stdout.count("kill ") == 8


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
