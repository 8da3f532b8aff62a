"""What each way of pre-training brings: masked words, and fine-tuned scores on tasks, all within one budget.

    PYTHONPATH=. python benchmarks/pretraining.py --data $DATA --checkpoint teachers/minilm-l6-h384 \
        --folder runs/pretraining --epochs 1

The corpus is wikitext2 and the text of the tasks, without their test files. The teacher's head for words is trained
once and shared. Words found: by the student's own head (*), or, where it has learnt none, by one that is trained on the
frozen student with as many updates as the teacher's. Fine-tuning: `model-ft`, chosen on dev, test scored once. The same
command goes on where it was stopped.
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
BERT, V1, V2 = ["--recipe", "distilbert"], ["--recipe", "minilm"], ["--recipe", "minilmv2", "--relation_heads", "48"]
NOT_TRAINED = ["--recipe", "minilmv2", "--steps", "1", "--learning_rate", "1e-30", "--weight_decay", "0"]
ROWS = {
    "random weights": NOT_TRAINED,
    "picked layers": [*NOT_TRAINED, *PICKED],
    "DistilBERT's loss": BERT,
    "DistilBERT's loss, picked layers": [*BERT, *PICKED],
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


def pretrain(values, teacher: Path, folder: Path, *flags: str) -> dict:
    """The report of a run; one that has finished before says it again."""
    shared = ["--corpus", str(values.folder / "corpus.txt"), "--corpus_dir", str(values.folder / "tokens")]
    shared += ["--pt_teacher_checkpoint", str(teacher), "--model_dir", str(folder), "--seed", str(values.seed)]
    shared += ["--seq_len", "128", "--batch_size", "32"]
    command("pretrain", *shared, *flags)
    return json.loads((folder / "metrics.json").read_text())


def student(values, name: str, head: Path) -> dict:
    folder = values.folder / f"{list(ROWS).index(name)}"
    flags = ["--num_hidden_layers", "3", "--epochs", values.epochs, "--learning_rate", values.rate]
    flags += ["--teacher_head", str(head)] if ROWS[name][:2] == BERT else []
    return pretrain(values, values.checkpoint, folder, *flags, *ROWS[name])


def probe(values, checkpoint: Path, folder: Path) -> dict:
    """Trains a head on a frozen model; beside it, one update of a student that nobody needs."""
    flags = ["--teacher_head_steps", str(values.head_steps), "--steps", "1", "--num_hidden_layers", "1", *BERT]
    return pretrain(values, checkpoint, folder, *flags)


def fine_tuned(values, checkpoint: Path, out: Path, task: str) -> tuple[float, float]:
    flags = ["--pt_model", "auto", "--pt_model_checkpoint", str(checkpoint), "--task", str(values.data / task)]
    flags += ["--model_dir", str(out), "--batch_size", "32", "--ft_epochs", str(values.ft_epochs)]
    flags += ["--seed", str(values.seed), "--learning_rate", values.ft_rate]
    if not (out / "metrics.json").is_file():
        command("model-ft", *flags, *TASKS[task])
    (row,) = json.loads((out / "metrics.json").read_text())["rows"]
    return row["dev"], row["test"]


def words_found(report: dict, values, folder: Path) -> str:
    own = report["student_accuracy"]
    if own is not None:
        return f"{100 * own:.1f}*"
    return f"{100 * probe(values, folder / 'checkpoint', folder / 'probe')['teacher_accuracy']:.1f}"


def line(values, name: str, head: Path) -> str:
    folder, report = values.folder / f"{list(ROWS).index(name)}", student(values, name, head)
    speed = "" if ROWS[name][: len(NOT_TRAINED)] == NOT_TRAINED else f"{report['pieces_per_second']:,.0f}"
    scores = [fine_tuned(values, folder / "checkpoint", folder / task, task) for task in values.tasks]
    shown = [f"{100 * dev:.1f} / {100 * test:.1f}" for dev, test in scores]
    return f"| {name} | {words_found(report, values, folder)} | {speed} | {' | '.join(shown)} |"


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
    parser.add_argument("--ft_rate", default="3e-4")
    parser.add_argument("--head_steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=42)
    values = parser.parse_args()
    values.folder.mkdir(parents=True, exist_ok=True)
    if not (values.folder / "corpus.txt").is_file():
        write_corpus(values.data, values.folder / "corpus.txt")
    teacher = values.folder / "teacher"
    accuracy = probe(values, values.checkpoint, teacher)["teacher_accuracy"]
    print("| student | words found | pieces / s | " + " | ".join(f"{task} dev / test" for task in values.tasks) + " |")
    print("| --- " * (3 + len(values.tasks)) + "|")
    print(f"| the teacher | {100 * accuracy:.1f} |" + " |" * (1 + len(values.tasks)), flush=True)
    for name in values.rows:
        print(line(values, name, teacher / "language-head.h5"), flush=True)


if __name__ == "__main__":
    main()
