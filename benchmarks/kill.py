"""A whole small distillation, killed again and again at random moments: does it end with the bytes of one left alone?

    python benchmarks/kill.py --kills 40 --folder runs/kill

Makes a tiny task, teacher and tokenizer in the folder; runs the command once undisturbed; then starts it anew and kills
it (SIGKILL) after a random time, until it has been killed so often; then lets it end, and compares `xtremedistil.h5`.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the tiny material is that of the tests


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
    return [sys.executable, str(ROOT / "run_xtreme_distil.py"), *flags]


def run(arguments: list[str], seconds: float | None, number: int = signal.SIGKILL) -> int | None:
    """Exit code, or None if the process was killed after `seconds`."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, message = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        process.communicate()
        return None
    if process.returncode:
        raise SystemExit(f"the run failed with {process.returncode}:\n{message}")
    return process.returncode


def same_after_kills(material, folder: Path, kills: int, seed: int) -> bool:
    """Runs undisturbed and disturbed; prints what happens."""
    undisturbed, disturbed = folder / "undisturbed", folder / "disturbed"
    started = time.monotonic()
    run(command(material, undisturbed), None)
    whole = time.monotonic() - started
    print(f"undisturbed: {whole:.0f} s", flush=True)
    draw, killed, start_up = random.Random(seed), 0, 0.4 * whole
    while killed < kills:
        # Late enough to be at work, and short, so that many kills fall into one run.
        seconds = start_up + draw.random() * whole / 8
        if run(command(material, disturbed), seconds) is None:
            killed += 1
            there = sorted(path.name for path in disturbed.glob("model-*.h5"))
            print(f"kill {killed} after {seconds:.1f} s; last of {len(there)}: {there[-1:]}", flush=True)
            continue
        compare(undisturbed, disturbed)
        shutil.rmtree(disturbed)
    run(command(material, disturbed), None)
    return compare(undisturbed, disturbed)


def compare(undisturbed: Path, disturbed: Path) -> bool:
    ours, theirs = ((folder / "xtremedistil.h5").read_bytes() for folder in (disturbed, undisturbed))
    print("the same bytes" if ours == theirs else "OTHER BYTES", flush=True)
    if ours != theirs:
        raise SystemExit(1)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True, help="a new folder")
    values = parser.parse_args()
    values.folder.mkdir(parents=True)
    same_after_kills(tiny_material(values.folder), values.folder, values.kills, values.seed)


if __name__ == "__main__":
    main()
