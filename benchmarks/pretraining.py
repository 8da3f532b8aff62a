"""What each way of pre-training brings: masked words, and fine-tuned scores on tasks, all within one budget.

    PYTHONPATH=. python benchmarks/pretraining.py --data $DATA --checkpoint teachers/minilm-l6-h384 \
        --folder runs/pretraining --epochs 1

The corpus is wikitext2 and the text of the tasks, without their test files. The teacher's head for words is trained
once and shared. Words found: the student's own head, or, where it has learnt none, one that is trained on the frozen
student with the updates that the teacher's had. Fine-tuning: `model-ft`, chosen on dev, test scored once.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import xtremedistil  # noqa: F401 - chooses legacy Keras

ROOT = Path(__file__).resolve().parents[1]
PICKED = ["--init_layers", "uniform"]
NARROW = ["--hidden_size", "192", "--num_attention_heads", "12"]
V1, V2 = ["--recipe", "minilm"], ["--recipe", "minilmv2", "--relation_heads", "48"]
NOT_TRAINED = ["--recipe", "words", "--steps", "1", "--learning_rate", "1e-30", "--weight_decay", "0"]
ROWS = {
    "random weights": NOT_TRAINED,
    "picked layers": [*NOT_TRAINED, *PICKED],
    "DistilBERT's loss": [],
    "DistilBERT's loss, picked layers": PICKED,
    "MiniLM": V1,
    "MiniLMv2": V2,
    "MiniLMv2, picked layers": [*V2, *PICKED],
    "MiniLMv2, 3 x 192": [*V2, *NARROW],
}
TASKS = {
    "wikiann-en": ["--do_NER", "--seq_len", "64"],
    "sst2": ["--seq_len", "64"],
    "mrpc": ["--do_pairwise", "--seq_len", "128"],
}


def write_corpus(data: Path, path: Path) -> None:
    """All text but that of test files, one sentence a line."""
    lines = []
    for name in ("test.txt", "valid.txt"):
        lines += [line.strip() for line in (data / "wikitext2" / name).read_text(encoding="utf-8").splitlines()]
    for name in ("wikiann-en", "sst2"):
        lines += (data / name / "unlabeled.txt").read_text(encoding="utf-8").splitlines()
    for line in (data / "mrpc" / "train.tsv").read_text(encoding="utf-8").splitlines():
        lines += line.split("\t")[:2]
    kept = dict.fromkeys(line for line in lines if line.strip() and not line.startswith("="))
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")


def command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "xtremedistil.cli", *arguments], check=True, cwd=ROOT)


def pretrain(values, name: str, flags: list[str]) -> Path:
    folder = values.folder / f"{list(ROWS).index(name)}"
    head = values.folder / "language-head.h5"
    shared = ["--teacher_head", str(head)] if head.is_file() else []
    options = [
        *shared,
        "--teacher_head_steps",
        str(values.head_steps),
        "--num_hidden_layers",
        "3",
        "--seed",
        str(values.seed),
    ]
    options += [
        "--seq_len",
        "128",
        "--batch_size",
        "32",
        "--epochs",
        str(values.epochs),
        "--learning_rate",
        values.rate,
    ]
    corpus, teacher = str(values.folder / "corpus.txt"), str(values.checkpoint)
    base = ["--corpus", corpus, "--pt_teacher_checkpoint", teacher, "--model_dir", str(folder)]
    command("pretrain", *base, *options, *flags)
    made = folder / "language-head.h5"
    if made.is_file() and not head.is_file():
        head.write_bytes(made.read_bytes())
    return folder


def words_found(values, folder: Path) -> float:
    """Of the student's own head, or of one that is trained on it: as a teacher's would be."""
    report = json.loads((folder / "metrics.json").read_text())
    if report["student_accuracy"] is not None:
        return report["student_accuracy"]
    probe, corpus = folder / "probe", str(values.folder / "corpus.txt")
    flags = ["--pt_teacher_checkpoint", str(folder / "checkpoint"), "--corpus", corpus, "--model_dir", str(probe)]
    flags += ["--teacher_head_steps", str(values.head_steps), "--seed", str(values.seed), "--seq_len", "128"]
    command("pretrain", *flags, "--steps", "1", "--num_hidden_layers", "1")
    return json.loads((probe / "metrics.json").read_text())["teacher_accuracy"]


def fine_tuned(values, checkpoint: Path, out: Path, task: str) -> tuple[float, float]:
    flags = ["--pt_model", "auto", "--pt_model_checkpoint", str(checkpoint), "--task", str(values.data / task)]
    flags += [
        "--model_dir",
        str(out),
        "--batch_size",
        "32",
        "--ft_epochs",
        str(values.ft_epochs),
        "--seed",
        str(values.seed),
    ]
    if not (out / "metrics.json").is_file():
        command("model-ft", *flags, *TASKS[task], "--learning_rate", values.ft_rate)
    (row,) = json.loads((out / "metrics.json").read_text())["rows"]
    return row["dev"], row["test"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with wikitext2, wikiann-en, sst2, mrpc")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--epochs", default="1")
    parser.add_argument("--rate", default="5e-4")
    parser.add_argument("--ft_epochs", type=int, default=3)
    parser.add_argument("--ft_rate", default="1e-4")
    parser.add_argument("--head_steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=42)
    values = parser.parse_args()
    values.folder.mkdir(parents=True, exist_ok=True)
    write_corpus(values.data, values.folder / "corpus.txt")
    print("| student | words found | pieces / s | " + " | ".join(f"{task} dev / test" for task in values.tasks) + " |")
    print("| --- " * (3 + len(values.tasks)) + "|", flush=True)
    for name in values.rows:
        folder = pretrain(values, name, ROWS[name])
        report = json.loads((folder / "metrics.json").read_text())
        scores = [fine_tuned(values, folder / "checkpoint", folder / task, task) for task in values.tasks]
        shown = [f"{100 * dev:.1f} / {100 * test:.1f}" for dev, test in scores]
        words = words_found(values, folder)
        print(f"| {name} | {100 * words:.1f} | {report['pieces_per_second']:,.0f} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
