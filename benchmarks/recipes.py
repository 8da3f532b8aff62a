"""What each part of the loss brings: the same student and budget, one table of runs.

    PYTHONPATH=. python benchmarks/recipes.py --task $DATA/wikiann-en --do_NER --seq_len 64 \
        --checkpoint teachers/minilm-l6-h384 --folder runs/recipes --lines 8000 --epochs 6 --seeds 42

One teacher, tuned once; its outputs are computed once and shared by all runs (a row apart has a second one). Each row
is a run of the command line. The budget is epochs over the transfer set (of all stages on it together) and over the
labelled rows. Scores: the best stage on dev; test is scored once. Rows that are there are not run again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.distillation import SEED, draw

ROOT = Path(__file__).resolve().parents[1]
LAYERS, WIDTH, HEADS = 2, 192, 12
SOFT = ["--soft_label_loss", "soft_label_kl", "--temperature", "2"]
JOINT = ["--recipe", "joint"]
BARE = ["--hidden_weight", "0"]
GOLD = ["--hard_label_weight", "0.5"]
STATES = ["--distil_multi_hidden_states"]
MAPS = ["--distil_attention"]
RELATIONS = [
    f"feature={kind},teacher=5,student=1,loss=relation_kl,relation_heads=12" for kind in ("queries", "keys", "values")
]
TOP = "feature=hidden_states,teacher=6,student=2"
LOW = "feature=hidden_states,teacher=5,student=1"
ATTENTION = [
    f"feature=attentions,teacher={teacher},student={student},loss=attention_squared_distance,weight=3"
    for teacher, student in ((5, 1), (4, 0))
]
ONE, TWO = "one teacher, logits from a file", "two teachers, mean of logits from a file"
FROM_FILES = {ONE: 1, TWO: 2}  # such runs have no outputs within words, and so their own line to compare with
ROWS = {
    "logits MSE": [*JOINT, *BARE],
    "soft labels": [*JOINT, *SOFT, *BARE],
    "soft labels + gold labels": [*JOINT, *SOFT, *GOLD, *BARE],
    "logits MSE + hidden": [*JOINT, *STATES],
    "soft labels + hidden": [*JOINT, *SOFT, *STATES],
    "logits MSE + hidden + attention": [*JOINT, *MAPS],
    "logits MSE + hidden + attention + relations": [*JOINT, "--match", TOP, LOW, *ATTENTION, *RELATIONS],
    "logits MSE + hidden + relations": [*JOINT, "--match", TOP, LOW, *RELATIONS],
    "progressive stages": [*MAPS],
    "soft labels + gold labels + attention": [*JOINT, *SOFT, *GOLD, "--match", *ATTENTION],
    "soft labels + gold labels + relations": [*JOINT, *SOFT, *GOLD, "--match", *RELATIONS],
    "logits MSE + hidden + attention, augmented": [*JOINT, *MAPS, "--augment", "masking", "short_disorder"],
    ONE: [*JOINT],
    TWO: [*JOINT],
    "BiLSTM, logits MSE + hidden": [*JOINT, *STATES, "--student_kind", "bilstm", "--lstm_units", str(WIDTH)],
}


def run(values, name: str, flags: list[str], seed: int) -> dict:
    """One distillation; its report."""
    folder = values.folder / f"{name.replace(' ', '-').replace(',', '')}-{seed}"
    halves = {"progressive stages": 4, "logits MSE + hidden + attention, augmented": 2}
    epochs = max(1, values.epochs // halves.get(name, 1))  # four stages on the transfer set; twice as many lines
    layers = "1" if "bilstm" in flags else str(LAYERS)
    command = [sys.executable, str(ROOT / "run_xtreme_distil.py"), *flags]
    command += ["--task", str(values.task), "--transfer_file", str(values.folder / "transfer.txt")]
    command += ["--do_NER"] if values.do_NER else []
    command += [
        "--seq_len",
        str(values.seq_len),
        "--pt_teacher",
        "auto",
        "--pt_teacher_checkpoint",
        str(values.checkpoint),
    ]
    command += ["--teacher_model_dir", str(values.folder / "teacher"), "--model_dir", str(folder)]
    command += ["--hidden_size", str(WIDTH), "--num_hidden_layers", layers, "--num_attention_heads", str(HEADS)]
    command += ["--compress_word_embedding", "--teacher_batch_size", "32", "--teacher_learning_rate", "1e-4"]
    command += ["--teacher_epochs", str(values.teacher_epochs), "--student_distil_batch_size", "32"]
    command += ["--student_ft_batch_size", "32", "--distil_epochs", str(epochs), "--ft_epochs", str(values.ft_epochs)]
    command += ["--seed", str(seed)] + (["--baseline"] if name == "logits MSE" else [])
    command += ["--teacher_logits", str(logit_file(values, FROM_FILES[name]))] if name in FROM_FILES else []
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{name} ended with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads((folder / "report.json").read_text())


def logit_file(values, teachers: int) -> Path:
    """The mean of what the teacher and, of two, one of another seed say of the transfer file."""
    path = values.folder / f"teachers-{teachers}.npz"
    flags = {
        "task": str(values.task),
        "transfer_file": str(values.folder / "transfer.txt"),
        "do_NER": values.do_NER,
        "seq_len": values.seq_len,
        "pt_teacher": "auto",
        "pt_teacher_checkpoint": str(values.checkpoint),
        "teacher_batch_size": 32,
        "teacher_learning_rate": 1e-4,
        "teacher_epochs": values.teacher_epochs,
    }
    folders = [str(values.folder / name) for name in ("teacher", f"teacher-{SEED + 1}")][:teachers]
    work = json.dumps([flags, folders, [SEED, SEED + 1][:teachers], str(path)])
    if not path.is_file():
        subprocess.run([sys.executable, str(ROOT / "benchmarks/mean_logits.py"), "--work", work], check=True, cwd=ROOT)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, required=True, help="folder with train, dev, test and unlabeled.txt")
    parser.add_argument("--do_NER", action="store_true")
    parser.add_argument("--seq_len", type=int, default=64)
    parser.add_argument("--checkpoint", type=Path, required=True, help="the teacher, 6 layers x 384")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=8000)
    parser.add_argument("--epochs", type=int, default=8, help="over the transfer set")
    parser.add_argument("--ft_epochs", type=int, default=4)
    parser.add_argument("--teacher_epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED])
    parser.add_argument("--only", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    values = parser.parse_args()
    values.folder.mkdir(parents=True, exist_ok=True)
    draw(values.task / "unlabeled.txt", values.folder / "transfer.txt", values.lines)
    print("| what is learnt | dev | test | parameters |\n" + "| --- " * 4 + "|", flush=True)
    for name in values.only:
        reports = [run(values, name, ROWS[name], seed) for seed in values.seeds]
        for row in ("teacher", "student, labels only", "student"):
            found = [entry for report in reports for entry in report["rows"] if entry["name"] == row]
            if found and (row == "student" or name == "logits MSE"):
                print(line(name if row == "student" else row, found), flush=True)


def line(title: str, found: list[dict]) -> str:
    def scores(name: str) -> str:
        numbers = [100 * entry[name] for entry in found]
        spread = f" ± {np.std(numbers, ddof=1):.1f}" if len(numbers) > 1 else ""
        return f"{np.mean(numbers):.1f}{spread}"

    return f"| {title} | {scores('dev')} | {scores('test')} | {found[0]['parameters']:,} |"


if __name__ == "__main__":
    main()
