"""Snapshots of a fit: newest, damaged, foreign, terminated; without TensorFlow."""

import errno
import os
import shutil
import signal

import numpy as np
import pytest

from xtremedistil.console.sigterm import TERMINATED
from xtremedistil.errors import InputError
from xtremedistil.training.snapshots import Snapshot, SnapshotManager, Terminated


@pytest.fixture
def keeper(tmp_path):
    said = []

    def make(key: str = "stage-1", every_steps: int = 0, every_minutes: float = 0.0) -> SnapshotManager:
        folder = str(tmp_path / "resume")
        return SnapshotManager(folder, key, every_steps=every_steps, every_minutes=every_minutes, log=said.append)

    make.folder, make.said = tmp_path / "resume", said
    return make


def snapshot(step: int) -> Snapshot:
    return Snapshot({"step": step, "sums": {"loss": 0.1 * step}}, {"weights": np.full(4, step, np.float32)})


def test_newest_snapshot_is_found_and_two_are_kept(keeper):
    for step in (1, 2, 3):
        keeper().save(snapshot(step))
    found = keeper().load()
    assert found.state == {"step": 3, "sums": {"loss": 0.1 * 3}}
    assert found.arrays["weights"].tolist() == [3, 3, 3, 3] and found.arrays["weights"].dtype == np.float32
    assert sorted(os.listdir(keeper.folder)) == ["2.json", "2.npz", "3.json", "3.npz"]


@pytest.mark.parametrize("name, keep", [("2.npz", 100), ("2.json", 10), ("2.npz", 0)])
def test_damaged_newest_falls_back_to_the_one_before_and_says_so(keeper, name, keep):
    for step in (1, 2):
        keeper().save(snapshot(step))
    path = keeper.folder / name
    path.write_bytes(path.read_bytes()[:keep])
    assert keeper().load().state["step"] == 1
    assert "2.npz is damaged; going back" in keeper.said[0]


@pytest.mark.parametrize("change", [lambda text: text.replace('"step": 2', '"step": 3'), lambda text: '{"a": 1}'])
def test_record_that_was_changed_does_not_count(keeper, change):
    for step in (1, 2):
        keeper().save(snapshot(step))
    path = keeper.folder / "2.json"
    path.write_text(change(path.read_text()))
    assert keeper().load().state["step"] == 1
    assert "2.npz is damaged; going back" in keeper.said[0]


def test_two_whole_snapshots_stay_where_one_was_damaged(keeper):
    for step in (1, 2):
        keeper().save(snapshot(step))
    (keeper.folder / "2.npz").write_bytes(b"damaged")
    assert keeper().load().state["step"] == 1
    keeper().save(snapshot(3))
    (newest,) = [path for path in keeper.folder.glob("*.npz") if path.name != "1.npz"]
    newest.write_bytes(b"damaged")
    assert keeper().load().state["step"] == 1


def test_folder_that_cannot_be_made_is_an_error_with_its_name(keeper, monkeypatch):
    def full(*_arguments, **_named):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "makedirs", full)
    with pytest.raises(InputError, match="resume cannot be made: No space left on device"):
        keeper().save(snapshot(1))


def test_arrays_without_their_record_do_not_count(keeper):
    keeper().save(snapshot(1))
    (keeper.folder / "2.npz").write_bytes(b"half written")
    assert keeper().load().state["step"] == 1
    keeper().save(snapshot(2))
    assert keeper().load().state["step"] == 2


def test_snapshots_of_another_fit_are_not_read(keeper):
    keeper("stage-1").save(snapshot(1))
    assert keeper("stage-2").load() is None
    keeper("stage-1").clear()
    assert keeper("stage-1").load() is None and not keeper.folder.exists()


def test_snapshots_are_due_by_steps_by_time_or_never(keeper):
    by_steps, never = keeper(every_steps=3), keeper()
    assert [by_steps.due(step) for step in (1, 2, 3, 6)] == [False, False, True, True]
    assert not never.due(1000)
    assert keeper(every_minutes=1e-9).due(1) and not keeper(every_minutes=10).due(1)


def test_sigterm_makes_a_snapshot_due_and_ends_with_143_after_it(keeper):
    found, before = keeper(), signal.getsignal(signal.SIGTERM)
    with found.watching():
        os.kill(os.getpid(), signal.SIGTERM)
        assert found.due(1)
        with pytest.raises(Terminated) as end:
            found.save(snapshot(7))
    assert end.value.code == TERMINATED == 143
    assert keeper().load().state["step"] == 7
    assert signal.getsignal(signal.SIGTERM) == before


def test_sigterm_after_the_last_step_ends_the_run_when_all_is_saved(keeper):
    made = keeper()
    with made.watching():
        os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Terminated):
        made.stop_if_asked()
    keeper().stop_if_asked()  # nobody asked this one


def test_process_that_does_not_write_leaves_the_end_to_the_one_that_does(keeper):
    other = SnapshotManager(str(keeper.folder), "stage-1", every_steps=0, every_minutes=0, writes=False)
    with other.watching():
        os.kill(os.getpid(), signal.SIGTERM)
        assert not other.due(1)
    other.save(snapshot(1))
    assert not keeper.folder.exists()


@pytest.fixture
def other(keeper):
    """A process that reads below a folder of its own what the chief, `other.chief`, has said is the newest."""
    said = []
    often = {"every_steps": 0, "every_minutes": 0}
    made = SnapshotManager(
        str(keeper.folder / "seen"), "stage-1", **often, writes=False, broadcast_from_chief=lambda number: said[-1]
    )
    made.chief = SnapshotManager(
        str(keeper.folder), "stage-1", **often, broadcast_from_chief=lambda number: said.append(number) or number
    )
    return made


def test_other_processes_read_the_snapshot_that_the_chief_reads(keeper, other):
    for step in (1, 2):
        keeper().save(snapshot(step))
    shutil.copytree(keeper.folder, keeper.folder / "seen")
    (keeper.folder / "2.npz").write_bytes(b"damaged")
    assert other.chief.load().state["step"] == 1
    assert other.load().state["step"] == 1


def test_other_processes_begin_anew_with_the_chief(keeper, other):
    (keeper.folder / "seen").mkdir(parents=True)
    assert other.chief.load() is None
    keeper().save(snapshot(1))
    shutil.copytree(keeper.folder, keeper.folder / "seen", dirs_exist_ok=True)
    assert other.load() is None


def test_process_that_does_not_see_the_chiefs_snapshot_is_told_so(keeper, other):
    keeper().save(snapshot(1))
    assert other.chief.load().state["step"] == 1
    with pytest.raises(InputError, match="1.npz, from which the first worker resumes, is missing"):
        other.load()
