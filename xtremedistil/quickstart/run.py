"""`make quickstart`: the main job from nothing to a small model, on a generated task, in minutes on two CPU cores.

    python -m xtremedistil.quickstart --folder quickstart

1. writes the task (`sample_task.py`); 2. gets the teacher (`sample_teacher.py`); 3. distils it, and trains the same
student on the labels alone for comparison; 4. prints the table and ten predictions. The same command again continues.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from xtremedistil.console.ending import exit_code
from xtremedistil.console.quiet import import_tensorflow, without_native_noise
from xtremedistil.console.streams import tolerant_streams
from xtremedistil.distillation.planning.config import DistilConfig
from xtremedistil.evaluation.report import ReportRow, aligned
from xtremedistil.quickstart.sample_task import write_sample_task
from xtremedistil.quickstart.sample_teacher import fetch_teacher, scratch_teacher

SHOWN = 10


def quickstart_config(folder: Path, teacher: Path, *, seed: int) -> DistilConfig:
    """The settings of the run; what is not named here has its default."""
    run = folder / f"student-of-{teacher.name}"
    return DistilConfig(
        task=str(folder / "task"),
        transfer_file=str(folder / "task" / "unlabeled.txt"),
        model_dir=str(run),
        teacher_model_dir=str(run),
        do_NER=True,
        seq_len=48,
        pt_teacher="TFBertModel",
        pt_teacher_checkpoint=str(teacher),
        hidden_size=192,
        num_hidden_layers=2,
        num_attention_heads=12,
        distil_attention=True,
        compress_word_embedding=True,
        teacher_batch_size=16,
        teacher_learning_rate=5e-5,
        teacher_epochs=8,
        student_distil_batch_size=32,
        distil_epochs=10,
        student_ft_batch_size=16,
        ft_epochs=6,
        patience=3,
        baseline=True,
        seed=seed,
    )


def get_teacher(folder: Path, *, seed: int, scratch: bool) -> Path:
    """The pre-trained teacher, or a small one from scratch, which is said plainly."""
    if not scratch:
        fetched = fetch_teacher(folder / "minilm-l6-h384")
        if fetched.folder:
            return fetched.folder
        print(f"The pre-trained teacher could not be had: {fetched.reason}")
    print("Teacher: a small BERT from scratch, trained on the labelled sentences only. It knows what they tell:")
    print("expect scores far below those in the README; they show that the machinery works, no more.")
    return scratch_teacher(folder / "scratch-bert", task=folder / "task", seed=seed)


def format_rows(rows: Iterable[ReportRow]) -> str:
    """The final table."""
    lines = [["", "parameters", "F1", "ms/sentence"]]
    lines += [[row.name, f"{row.parameters:,}", f"{row.test:.3f}", f"{row.milliseconds:.2f}"] for row in rows]
    return aligned(lines)


def bracketed(words: Sequence[str], tags: Sequence[str]) -> str:
    """A sentence with its names in brackets: `[PER Marie Curie] moved to [LOC Paris] .`"""
    parts, kind = [], None
    for word, label in zip(words, tags, strict=True):
        prefix, _, found = label.partition("-")
        if kind and (prefix != "I" or found != kind):
            parts[-1] += "]"
            kind = None
        parts.append(f"[{found} {word}" if found and not kind else word)
        kind = found or None
    return " ".join(parts) + ("]" if kind else "")


def read_rows(path: Path, count: int) -> list[tuple[list[str], list[str]]]:
    """The first rows of a tagged file: words, tags."""
    lines = path.read_text(encoding="utf-8").splitlines()[:count]
    return [(words.split(" "), tags.split(" ")) for words, tags in (line.split("\t") for line in lines)]


def format_predictions(rows: Iterable[tuple[list[str], list[str]]], predicted: Iterable[list[str]]) -> str:
    """Each sentence as the student tags it, with the gold tags where they differ."""
    lines = []
    for (words, gold), tags in zip(rows, predicted, strict=True):
        lines.append(f"  {bracketed(words, tags)}")
        if list(tags) != gold:
            lines.append(f"    gold: {bracketed(words, gold)}")
    return "\n".join(lines)


def run(folder: Path, *, seed: int, scratch: bool) -> None:
    """The four steps."""
    import xtremedistil

    print(f"Writing the task to {folder / 'task'} ...")
    task = write_sample_task(folder / "task", seed=seed)
    print("Getting the teacher (a download of some 80 MB, once) ...")
    teacher = get_teacher(folder, seed=seed, scratch=scratch)
    config = quickstart_config(folder, teacher, seed=seed)
    report = xtremedistil.distil(config)
    rows = read_rows(task / "test.tsv", SHOWN)
    predicted = xtremedistil.load_predictor(config.model_dir)([" ".join(words) for words, _ in rows])
    print(f"\nOn {task / 'test.tsv'}, of whose names many are in no training sentence:\n\n{format_rows(report.rows)}")
    print(f"\nThe student on the first {SHOWN} test sentences:\n\n{format_predictions(rows, predicted)}")
    print(f"\nThe student is in {config.model_dir}.")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m xtremedistil.quickstart", description="Distil a real teacher on a generated task."
    )
    parser.add_argument("--folder", type=Path, default="quickstart", help="where it all goes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="another seed, other sentences (default: %(default)s)")
    parser.add_argument("--scratch_teacher", action="store_true", help="download nothing; train a teacher from scratch")
    values = parser.parse_args(arguments)
    with tolerant_streams():
        return exit_code(lambda: _run_quietly(values), resumes=True)


def _run_quietly(values: argparse.Namespace) -> None:
    with without_native_noise(verbose=False):
        import_tensorflow(verbose=False)
        run(values.folder, seed=values.seed, scratch=values.scratch_teacher)
