"""What each measure against waste brings to a whole distillation, from the naive procedure to everything together.

    python benchmarks/distillation.py --task $DATA/wikiann-en --do_NER --seq_len 64 \
        --checkpoint teachers/minilm-l6-h384 --folder runs/bench-wikiann

Naive: rows padded to seq_len, the teacher asked again at every stage, the encoder run in every step also where only
the layers above it are trained, float32. The measures are added one by one (with buckets, inference takes more rows at
a time where they are short); each line is a whole run of its own in a new process, the teacher's tuning included, with
the same data, epochs and seed. CPU seconds count what all threads did: other work does not change them much.
"""

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import xtremedistil  # noqa: F401 - chooses legacy Keras

BUCKETS, TARGETS, FROZEN, JIT = "length buckets", "targets kept", "frozen features", "XLA"
BFLOAT16 = "a bfloat16 teacher"  # on short rows a small student loses by it
LADDER = (BUCKETS, TARGETS, FROZEN, BFLOAT16)
FLOAT32 = LADDER[:-1]
ALONE = (JIT,)  # on top of the ladder
LABELLED, TRANSFER, SEED = 2000, 8000, 42
WIDTH, LAYERS, HEADS = 192, 2, 12
MATRIX, REPEATS = 2048, 20


# The procedure, in a process of its own


def pad_to_the_end(seq_len: int) -> None:
    from xtremedistil.models import prediction
    from xtremedistil.training import batching

    pad_rows = prediction.pad_rows
    batching.padded_width = lambda features, rows, step: seq_len
    prediction.full_length_order = prediction.length_order
    prediction.pad_rows = lambda features, rows, width, pad_id: pad_rows(features, rows, seq_len, pad_id)


def forget_targets_between_stages() -> None:
    from xtremedistil.distillation.pipeline import distil, output_source

    run_stage, compute, now = distil._run_stage, output_source.cached_outputs, {}

    def numbered(setting, student, stage, source):
        now["stage"] = stage.number
        return run_stage(setting, student, stage, source)

    def of_this_stage(*arguments, key, **named):
        return compute(*arguments, key=f"{key}, stage {now['stage']}", **named)

    distil._run_stage, output_source.cached_outputs = numbered, of_this_stage


def run_here(flags: dict, measures: list[str]) -> None:
    """One distillation with some measures in place."""
    from xtremedistil.distillation.pipeline.distil import distil
    from xtremedistil.distillation.planning.config import DistilConfig

    if BUCKETS not in measures:
        pad_to_the_end(flags["seq_len"])
    if TARGETS not in measures:
        forget_targets_between_stages()
    config = DistilConfig(
        **flags,
        frozen_features="cache" if FROZEN in measures else "recompute",
        teacher_opt_policy="mixed_bfloat16" if BFLOAT16 in measures else None,
        jit_compile=JIT in measures,
    )
    distil(config)


# Around it


def timed(flags: dict, measures: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a process."""
    work = json.dumps([flags, measures])
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run = subprocess.run([sys.executable, __file__, "--work", work], stderr=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(f"{measures} ended with exit code {run.returncode}:\n{run.stderr[-4000:]}")
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def draw(source: Path, target: Path, count: int) -> None:
    """So many lines, drawn with the seed."""
    lines = [line for line in source.read_text(encoding="utf-8").splitlines() if line.strip()]
    random.Random(SEED).shuffle(lines)
    target.write_text("\n".join(lines[:count]) + "\n", encoding="utf-8")


def prepared(values) -> dict:
    """Data of the wanted size in the folder; the flags that all runs share."""
    task = values.folder / "task"
    shutil.copytree(values.task, task)
    draw(values.task / "train.tsv", task / "train.tsv", LABELLED)
    draw(values.task / "unlabeled.txt", values.folder / "transfer.txt", TRANSFER)
    return {
        "task": str(task),
        "transfer_file": str(values.folder / "transfer.txt"),
        "do_NER": values.do_NER,
        "seq_len": values.seq_len,
        "pt_teacher_checkpoint": str(values.checkpoint),
        "pt_teacher": "auto",
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "compress_word_embedding": True,
        "distil_attention": True,
        "teacher_batch_size": 32,
        "student_distil_batch_size": 32,
        "student_ft_batch_size": 32,
        "teacher_learning_rate": 1e-4,
        "teacher_epochs": values.epochs,
        "distil_epochs": values.epochs,
        "ft_epochs": values.epochs,
        "seed": values.seed,
    }


def gemm_rate() -> float:
    """Floating-point operations a second of a product of big float32 matrices, the best of several."""
    import tensorflow as tf

    one, other = tf.random.normal([MATRIX, MATRIX]), tf.random.normal([MATRIX, MATRIX])
    multiply, best = tf.function(tf.matmul), np.inf
    for _ in range(REPEATS):
        started = time.perf_counter()
        multiply(one, other).numpy()
        best = min(best, time.perf_counter() - started)
    return 2 * MATRIX**3 / best


def training_operations(lengths: np.ndarray, teacher_width: int) -> float:
    """Of products of matrices for a row: forward, and twice that backward; the map of embeddings has no input to reach.

    Args:
        lengths: tokens of each row, without padding.
    """
    layer = 2 * (4 * WIDTH * WIDTH + 2 * WIDTH * 4 * WIDTH)
    linear = LAYERS * layer + 2 * WIDTH * teacher_width
    attention = LAYERS * 4 * WIDTH * lengths**2
    return float(np.mean(3 * (lengths * linear + attention) + 2 * lengths * 2 * teacher_width * WIDTH))


def over_the_limit(folder: Path) -> str:
    """Rows a second of the stages in which the whole student is trained in float32, beside what products allow."""
    from xtremedistil.distillation.data.transfer_set import open_transfer_rows

    rows = open_transfer_rows(str(next(folder.glob("teacher-targets/*/rows"))))
    lengths = np.concatenate([rows.chunk(start).lengths for start in rows.starts]).astype(float)
    width = json.loads((folder / "xtremedistil-config.json").read_text())["teacher_hidden_size"]
    limit = gemm_rate() / training_operations(lengths, width)
    lines = [f"products of matrices allow {limit:,.0f} rows a second (mean length {lengths.mean():.1f} tokens)"]
    for entry in json.loads((folder / "report.json").read_text())["stages"]:
        if entry["objective"] in ("representation", "logits") and "student" in entry["unfrozen"]:
            speed = rows.rows * entry["epochs"] / entry["seconds"]
            lines.append(
                f"stage {entry['stage']} ({entry['objective']}): {speed:,.0f} rows a second, {speed / limit:.0%}"
            )
    return "\n".join(lines)


def ladder(values) -> None:
    flags = prepared(values)
    runs = [("naive", ())] + [(f"+ {LADDER[n]}", LADDER[: n + 1]) for n in range(len(LADDER))]
    runs += [(f"+ {name}", (*LADDER, name)) for name in ALONE if name in values.also]
    runs = [runs[number] for number in values.rungs or range(len(runs))]
    print(
        "| procedure | dev | test | wall s | CPU s | times faster (wall) | (CPU) |\n" + "| --- " * 7 + "|", flush=True
    )
    first, limit = None, ""
    for number, (name, measures) in enumerate(runs):
        folder = values.folder / f"run-{number}"
        spent = np.array(timed(flags | {"model_dir": str(folder), "teacher_model_dir": str(folder)}, list(measures)))
        first = spent if first is None else first
        report = json.loads((folder / "report.json").read_text())
        row = next(row for row in report["rows"] if row["name"] == "student")
        times = " | ".join(f"{ratio:.2f}" for ratio in first / spent)
        scores = f"{100 * row['dev']:.1f} | {100 * row['test']:.1f}"
        print(f"| {name} | {scores} | {spent[0]:,.0f} | {spent[1]:,.0f} | {times} |", flush=True)
        if measures == FLOAT32:
            limit = over_the_limit(folder)
    print(limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, help="folder with train.tsv, dev.tsv, test.tsv and unlabeled.txt")
    parser.add_argument("--do_NER", action="store_true")
    parser.add_argument("--seq_len", type=int, default=64)
    parser.add_argument("--checkpoint", type=Path, help="the teacher, 384 wide")
    parser.add_argument("--folder", type=Path, help="a new folder")
    parser.add_argument("--epochs", type=int, default=3, help="of the teacher and of each stage")
    parser.add_argument("--also", nargs="*", default=ALONE, choices=ALONE, help="measures tried on top, one by one")
    parser.add_argument("--rungs", type=int, nargs="*", help="rows of the table, from 0; the first is compared with")
    parser.add_argument("--seed", type=int, default=SEED, help="of the runs; the lines are always the same ones")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    values = parser.parse_args()
    if values.work:
        run_here(*json.loads(values.work))
        return
    values.folder.mkdir(parents=True)
    ladder(values)


if __name__ == "__main__":
    main()
