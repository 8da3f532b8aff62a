"""A whole small distillation, killed again and again at random moments: does it end with the bytes of one left alone?

    python benchmarks/kill.py --kills 40 --folder runs/kill

Makes a tiny task, teacher and tokenizer in the folder; runs the command once undisturbed; then starts it anew and kills
it (SIGKILL), in turn after a random time and in a random write, until it has been killed so often; then lets it end,
and compares `xtremedistil.h5`. In a write means just before, or just after, a whole file takes its place.
Runs are forks of this process, which has imported TensorFlow and used nothing of it: to import it takes longer than
the run.
"""

import argparse
import os
import pickle
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

WRITES = 12  # a kill is in one of so many of a run
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the tiny material is that of the tests

import xtremedistil  # noqa: E402, F401 - chooses legacy Keras
from xtremedistil.console.quiet import import_tensorflow  # noqa: E402


def tiny_material(folder: Path):
    """A tagging task of some dozen sentences, and a teacher of 4 layers, 16 wide."""
    from tests.command_fixtures import (
        TEACHER_LAYERS,
        TEACHER_WIDTH,
        Material,
        sentences,
        write_bert,
        write_rows,
        write_tagging_task,
    )
    from tests.conftest import SPECIAL, WORDS, write_config

    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "vocab.txt").write_text("\n".join(SPECIAL + WORDS) + "\n", encoding="utf-8")
    write_config(tokenizer, tokenizer_class="BertTokenizer", do_lower_case=True)
    write_tagging_task(folder / "task")
    write_rows(folder / "transfer.txt", [(" ".join(words),) for words in sentences(40, 4)])
    teacher = write_bert(folder / "bert", str(tokenizer), TEACHER_LAYERS, TEACHER_WIDTH)
    return Material(folder / "task", folder / "transfer.txt", teacher, ("--do_NER",))


def save_material(folder: Path, path: Path) -> int:
    path.write_bytes(pickle.dumps(tiny_material(folder)))
    return 0


def command(material, model_dir: Path) -> list[str]:
    flags = material.flags(
        model_dir,
        distil_attention=True,
        compress_word_embedding=True,
        hidden_size=8,
        distil_epochs=3,
        ft_epochs=3,
        distil_chunk_size=16,
        save_steps=2,
        baseline=True,
    )
    return ["distil", *flags]


def forked(work: Callable[[], int], log: Path) -> int:
    """Starts `work` in a fork, whose exit code it gives; what it prints goes into a file."""
    if process := os.fork():
        return process
    code = 1
    try:
        with open(log, "w", encoding="utf-8") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            code = work()
    finally:
        os._exit(code)


def run(work: Callable[[], int], seconds: float | None, log: Path) -> bool:
    """Whether `work` ended, and was not killed after so many seconds.

    Raises:
        SystemExit: it failed.
    """
    process, deadline = forked(work, log), time.monotonic() + (seconds or 1e9)
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            deadline = np.inf
        time.sleep(0.01)
    if os.WIFSIGNALED(status):
        return False
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"the run failed with {os.waitstatus_to_exitcode(status)}:\n{log.read_text()}")
    return True


def same_after_kills(folder: Path, kills: int, seed: int) -> None:
    """Runs undisturbed and disturbed; prints what happens.

    Raises:
        SystemExit: a run failed, or ended with other bytes.
    """
    from xtremedistil import cli

    log, pickled = folder / "log", folder / "material"
    run(lambda: save_material(folder, pickled), None, log)
    material = pickle.loads(pickled.read_bytes())
    undisturbed, disturbed = folder / "undisturbed", folder / "disturbed"
    started = time.monotonic()
    run(lambda: cli.main(command(material, undisturbed)), None, log)
    whole = time.monotonic() - started
    print(f"undisturbed: {whole:.0f} s", flush=True)
    draw, killed = random.Random(seed), 0
    while killed < kills:
        # Short, so that many kills fall into one run, and long enough to reach all that a run does.
        seconds, write = (draw.random() * whole / 2, 0) if killed % 2 else (None, draw.randint(1, 2 * WRITES))
        if run(partial(_dying_in, write, partial(cli.main, command(material, disturbed))), seconds, log):
            compare(undisturbed, disturbed)
            shutil.rmtree(disturbed)
            continue
        killed += 1
        moment = f"after {seconds:.1f} s" if seconds else f"in write {(write + 1) // 2}"
        print(f"kill {killed} {moment}; {newest(disturbed)}", flush=True)
    run(lambda: cli.main(command(material, disturbed)), None, log)
    compare(undisturbed, disturbed)


def _dying_in(write: int, work: Callable[[], int]) -> int:
    """`work`, killed at the n-th write, odd numbers before the file takes its place and even ones after it; 0: not."""
    moments, replace = iter(range(1, 10**9)), os.replace

    def dying() -> None:
        if next(moments) == write:
            os.kill(os.getpid(), signal.SIGKILL)

    def replaced(source, target, **named) -> None:
        dying()
        replace(source, target, **named)
        dying()

    os.replace = replaced
    return work()


def newest(folder: Path) -> str:
    """The file that was written last: what the run was at."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return str(max(files, key=lambda path: path.stat().st_mtime_ns).relative_to(folder)) if files else "nothing yet"


def compare(undisturbed: Path, disturbed: Path) -> None:
    ours, theirs = ((folder / "xtremedistil.h5").read_bytes() for folder in (disturbed, undisturbed))
    print("the same bytes" if ours == theirs else "OTHER BYTES", flush=True)
    if ours != theirs:
        raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True, help="a new folder")
    values = parser.parse_args()
    values.folder.mkdir(parents=True)
    import_tensorflow(verbose=False)
    same_after_kills(values.folder, values.kills, values.seed)


if __name__ == "__main__":
    main()
