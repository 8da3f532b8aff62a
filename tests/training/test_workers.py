"""Several processes of one run: the one-device result, one writer, and what happens when one of them dies."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.command_fixtures import NARROW, contents, main
from xtremedistil.models.checkpoints.h5_weights import read_weights

pytest.importorskip("tensorflow")

from xtremedistil.models.student_folder import restore_student  # noqa: E402

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


NOTES_WHAT_IT_PUTS_IN_PLACE = """
import os
replace = os.replace
def noting(source, target, **named):
    with open(os.environ["NOTES"], "a") as file:
        print(target, file=file)
    return replace(source, target, **named)
os.replace = noting
"""


def start(arguments: list[str], count: int, notes: Path | None = None) -> list[subprocess.Popen]:
    """One process for each worker, on this machine.

    Args:
        notes: folder where each says what files it puts in place, in one of its number.
    """
    if notes:
        (notes / "sitecustomize.py").write_text(NOTES_WHAT_IT_PUTS_IN_PLACE)
    with contextlib.ExitStack() as stack:
        free = [stack.enter_context(socket.socket()) for _ in range(count)]
        for entry in free:
            entry.bind(("localhost", 0))
        addresses = [f"localhost:{entry.getsockname()[1]}" for entry in free]
    workers = []
    for index in range(count):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = os.environ | {"TF_CONFIG": json.dumps(cluster), "CUDA_VISIBLE_DEVICES": "-1"}
        if notes:
            environment |= {"PYTHONPATH": str(notes), "NOTES": str(notes / str(index))}
        command = [sys.executable, str(ROOT / "run_xtreme_distil.py"), *arguments, "--strategy", "multi_worker"]
        pipe = subprocess.PIPE
        workers.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
    return workers


def outcomes(workers: list[subprocess.Popen]) -> list[tuple[int, str]]:
    """Exit code and messages of each."""
    ends = [worker.communicate(timeout=400) for worker in workers]
    return [(worker.returncode, messages) for worker, (_, messages) in zip(workers, ends, strict=True)]


@pytest.fixture
def flags(tagging, distilled, tmp_path):
    """Flags of a run without dropout under a tuned teacher; its batches are of 8 rows, over all devices."""

    def make(name: str, devices: int = 1, **changes) -> list[str]:
        teacher = tmp_path / f"{name}-teacher"
        shutil.copytree(distilled / "teacher", teacher, ignore=shutil.ignore_patterns("teacher-targets"))
        batch = 8 // devices
        sizes = {"student_distil_batch_size": batch, "student_ft_batch_size": batch, "dropout": 0.0}
        return tagging.flags(tmp_path / name, teacher_model_dir=teacher, **NARROW, **sizes, **changes)

    return make


def assert_equal_students(folder: Path, other: Path) -> None:
    """Logits to 1e-5; weights a little less so: Adam makes much of what gradients of nearly 0 are rounded to."""
    ours, theirs = (read_weights(str(place / "xtremedistil.h5")) for place in (folder, other))
    for part in theirs:
        for name, array in theirs[part].items():
            np.testing.assert_allclose(ours[part][name], array, atol=5e-5, err_msg=name)
    ids = np.array([[2, 5, 7, 9, 3], [2, 9, 3, 0, 0]], np.int32)
    batch = {"input_ids": ids, "attention_mask": np.int32(ids > 0), "token_type_ids": 0 * ids}
    one, two = (restore_student(str(place)).model(batch)["logits"].numpy() for place in (folder, other))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_two_workers_give_the_student_of_one_device(flags, tmp_path):
    assert main("distil", *flags("alone")) == 0
    notes = tmp_path / "notes"
    notes.mkdir()
    ends = outcomes(start(flags("together", devices=2), 2, notes))
    assert [code for code, _ in ends] == [0, 0], ends
    assert_equal_students(tmp_path / "together", tmp_path / "alone")
    written = [set(contents(tmp_path / name)) for name in ("together", "alone")]
    assert written[0] == written[1]
    chief, other = ((notes / str(index)).read_text().split() for index in range(2))
    assert any(path.endswith("xtremedistil.h5") for path in chief)
    assert {Path(path).name for path in other} == {"part-done-1"}, "of its share of the teacher's outputs"
    for history in (tmp_path / "alone").glob("model-stage-*-history.json"):
        alone, together = (json.loads((tmp_path / name / history.name).read_text()) for name in ("alone", "together"))
        for one, two in zip(alone["history"], together["history"], strict=True):
            assert two["loss"] == pytest.approx(one["loss"], rel=1e-5, abs=1e-6), history.name


def test_one_worker_alone_gives_the_student_of_one_device(flags, tmp_path):
    assert main("distil", *flags("alone")) == 0
    ends = outcomes(start(flags("worker"), 1))
    assert ends[0][0] == 0, ends
    assert_equal_students(tmp_path / "worker", tmp_path / "alone")


@pytest.mark.parametrize("victim", [0, 1])
def test_dead_worker_ends_the_other_and_the_same_command_goes_on(flags, tmp_path, victim):
    wanted = flags("undisturbed", devices=2, distil_epochs=3)
    assert [code for code, _ in outcomes(start(wanted, 2))] == [0, 0]
    disturbed = flags("disturbed", devices=2, distil_epochs=3, save_steps=1)
    workers = start(disturbed, 2)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "disturbed").glob("model-stage-2*.h5")):
        assert time.monotonic() < deadline and all(worker.poll() is None for worker in workers)
        time.sleep(0.02)
    workers[victim].send_signal(signal.SIGKILL)
    code, message = outcomes(workers)[1 - victim]
    assert code == 2, message
    assert "another has ended, or cannot be reached" in message
    assert [code for code, _ in outcomes(start(disturbed, 2))] == [0, 0]
    one, other = ((tmp_path / name / "xtremedistil.h5").read_bytes() for name in ("undisturbed", "disturbed"))
    assert one == other
