"""Peak memory and disk of whole distillations by the number of transfer lines.

    python benchmarks/memory.py --folder runs/memory --lines 10000 100000 1000000
    python benchmarks/memory.py --folder runs/memory-maps --lines 100000 --states

Generated sentences, a random teacher of 2 x 64, a student of 1 x 32, one epoch a stage: what is measured is what grows
with the lines. Every stage runs; --states matches all hidden states and attention maps, not only the last state.
Memory is the peak resident set of a process that does nothing else, mapped files counted. Disk is what the teacher's
outputs take, beside what the run said before it computed them.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the tiny material is that of the tests

SHORTEST, LONGEST = 4, 16
ESTIMATE = re.compile(r"teacher's outputs: ([0-9.,]+) MB")


def write_lines(path: Path, count: int) -> None:
    from tests.command_fixtures import PEOPLE, PLACES, PLAIN

    generator, words = random.Random(1), PEOPLE + PLACES + PLAIN
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(count):
            file.write(" ".join(generator.choices(words, k=generator.randint(SHORTEST, LONGEST))) + "\n")


def material(folder: Path) -> str:
    """A tagging task and a teacher, made by a process of its own: this one would be the peak of its children."""
    code = (
        "import sys; from pathlib import Path; from benchmarks.kill import tiny_material; "
        "from tests.command_fixtures import write_bert; folder = Path(sys.argv[1]); tiny_material(folder); "
        "write_bert(folder / 'teacher', str(folder / 'tokenizer'), 2, 64)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, cwd=ROOT, stderr=subprocess.DEVNULL)
    return str(folder / "teacher")


def run(folder: Path, teacher: str, count: int, states: bool) -> None:
    """One distillation in a process that this one waits for; a line of the table."""
    lines, model = folder / f"{count}.txt", folder / f"run-{count}"
    write_lines(lines, count)
    flags = {"task": folder / "task", "transfer_file": lines, "model_dir": model, "teacher_model_dir": model}
    flags |= {"pt_teacher": "auto", "pt_teacher_checkpoint": teacher, "seq_len": 24, "hidden_size": 32}
    flags |= {"num_hidden_layers": 1, "num_attention_heads": 2, "teacher_epochs": 1, "ft_epochs": 1, "distil_epochs": 1}
    flags |= {"student_distil_batch_size": 512, "teacher_batch_size": 512, "teacher_outputs": "cache", "patience": 99}
    command = [sys.executable, str(ROOT / "run_xtreme_distil.py"), "--do_NER"]
    command += ["--distil_attention"] if states else []
    command += [str(part) for name, value in flags.items() for part in (f"--{name}", value)]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    messages = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(messages)
    estimate = float(ESTIMATE.search(messages).group(1).replace(",", ""))
    found = sum(path.stat().st_size for path in model.glob("teacher-targets/*/*/*/*.npy")) / 1e6
    seconds = time.monotonic() - started
    print(
        f"| {count:,} | {usage.ru_maxrss / 1024:,.0f} | {estimate:,.1f} | {found:,.1f} | {seconds:,.0f} |", flush=True
    )
    shutil.rmtree(model)
    lines.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="a new folder")
    parser.add_argument("--lines", type=int, nargs="+", required=True)
    parser.add_argument("--states", action="store_true", help="match all states and attention maps")
    values = parser.parse_args()
    values.folder.mkdir(parents=True)
    teacher = material(values.folder)
    print("| lines | peak MiB | disk estimated, MB | disk found, MB | seconds |\n| --- | --- | --- | --- | --- |")
    for count in values.lines:
        run(values.folder, teacher, count, values.states)


if __name__ == "__main__":
    main()
