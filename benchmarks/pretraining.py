"""What each way of pre-training brings: words known, and fine-tuned scores on tasks, all within one budget of updates.

    PYTHONPATH=. python benchmarks/pretraining.py --data $DATA --checkpoint teachers/minilm-l6-h384 \
        --folder runs/pretraining --steps 1000 --labels 2000 --ft_seeds 1 2 3

The corpus is wikitext2 and whole sentences of the tasks' training text. All encoders are asked alike what they know of
words: a head is trained on the frozen encoder with the same updates, whatever head it has of its own, on tokens as
often as they occur, all of them masked. A longer one of the teacher teaches in DistilBERT's loss. All are tuned alike:
`model-ft` on the same rows, chosen on dev, test scored once. Beside accuracies stands what the commonest token, or
label of train, would get. Wall seconds are of all attempts.
Folders are named by what their results hang on, so that the same command goes on where it was stopped, and one with
other flags, or some of the rows, takes over what is the same. One --folder is for one --data and one --checkpoint.
"""

import argparse
import contextlib
import dataclasses
import gc
import json
import re
import time
from collections import Counter
from pathlib import Path

import numpy as np

from xtremedistil.console.progress import Progress
from xtremedistil.data.text_files import read_lines
from xtremedistil.finetuning.config import BaselineConfig
from xtremedistil.finetuning.finetune import fine_tune
from xtremedistil.finetuning.plan import fine_tuning_plan
from xtremedistil.models.checkpoints.h5_weights import save_weights
from xtremedistil.models.language_model.language_head import LanguageHead
from xtremedistil.models.language_model.language_model import LanguageModel
from xtremedistil.objectives.from_terms import LABELS_ALONE
from xtremedistil.pretraining.config import PretrainConfig
from xtremedistil.pretraining.head_record import head_path
from xtremedistil.pretraining.language_objective import language_objective
from xtremedistil.pretraining.language_score import LanguageScore
from xtremedistil.pretraining.models import open_teacher
from xtremedistil.pretraining.plan import make_pretrain_plan
from xtremedistil.pretraining.pretrain import HEAD_PLACE, Run, pretrain
from xtremedistil.pretraining.report import REPORT
from xtremedistil.pretraining.run_corpus import open_corpus
from xtremedistil.pretraining.teacher_head import head_parts, train_head
from xtremedistil.storage.files import write_json
from xtremedistil.storage.model_folder import METRICS
from xtremedistil.tasks import KindSettings, open_task
from xtremedistil.tasks.label_sampling import few_rows, write_few_labels
from xtremedistil.training.strategy import make_strategy, seed_everything, stage_seed
from xtremedistil.training.workers import Workers

PICKED = {"init_layers": "uniform"}
NARROW = {"hidden_size": 192, "num_attention_heads": 12}
BERT, V1, V2 = {"recipe": "distilbert"}, {"recipe": "minilm"}, {"recipe": "minilmv2", "relation_heads": 48}
NOT_TRAINED = V2 | {"max_steps": 1, "learning_rate": 1e-30, "weight_decay": 0.0}
ROWS = {
    "random weights": NOT_TRAINED,
    "random weights, 3 x 192": NOT_TRAINED | NARROW,
    "picked layers": NOT_TRAINED | PICKED,
    "DistilBERT's loss": BERT,
    "DistilBERT's loss, picked layers": BERT | PICKED,
    "MiniLM": V1,
    "MiniLMv2": V2,
    "MiniLMv2, picked layers": V2 | PICKED,
    "MiniLMv2, 3 x 192": V2 | NARROW,
}
TASKS = {
    "wikiann-en": {"do_NER": True, "seq_len": 64},
    "sst2": {"seq_len": 64},
    "mrpc": {"do_pairwise": True, "seq_len": 128},
}
PROBE = "probe.json"
HEAD_RATE = 3e-3
ALL_HIDDEN = {"mlm_smoothing": 0.0, "mlm_hide": 1.0, "mlm_random": 0.0}  # no word is found by copying what is there


def write_corpus(data: Path, path: Path) -> None:
    """One sentence or paragraph a line, in the order of the files; no dev or test file is read.

    Sentences that stand in several files of a task come in through its train.tsv: of mrpc 250 of 3,450 test sentences.
    """
    lines = [line.strip() for name in ("test.txt", "valid.txt") for _, line in read_lines(data / "wikitext2" / name)]
    lines += [line for _, line in read_lines(data / "wikiann-en" / "unlabeled.txt")]
    for name, texts in (("sst2", 1), ("mrpc", 2)):
        for _, line in read_lines(data / name / "train.tsv"):
            lines += line.split("\t")[:texts]
    kept = dict.fromkeys(line for line in lines if line.strip() and not line.startswith("="))
    content = "\n".join(kept) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != content:  # a corpus is told by its time of change
        path.write_text(content, encoding="utf-8")


def name_of(*parts) -> str:
    """Of a folder: letters and digits of all parts."""
    return re.sub(r"[^a-z0-9.]+", "-", " ".join(str(part) for part in parts).lower()).strip("-")


@contextlib.contextmanager
def timed(folder: Path):
    """Adds the seconds of a block to those spent on a folder, also where it is interrupted; forgets its models."""
    import tf_keras  # not before xtremedistil, which chooses legacy Keras

    started = time.monotonic()
    try:
        yield
    finally:
        write_json(str(seconds_file(folder)), seconds(folder) + time.monotonic() - started)
        tf_keras.backend.clear_session()
        gc.collect()


def seconds_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-seconds.json")


def seconds(folder: Path) -> float:
    return json.loads(seconds_file(folder).read_text()) if seconds_file(folder).is_file() else 0.0


def config_of(values, teacher: Path, folder: Path, **flags) -> PretrainConfig:
    return PretrainConfig(
        pt_teacher_checkpoint=str(teacher),
        corpus=(str(values.folder / "corpus.txt"),),
        corpus_dir=str(values.folder / "tokens"),
        model_dir=str(folder),
        seq_len=128,
        seed=values.seed,
        **{"batch_size": values.batch_size} | flags,
    )


def student_folder(values, name: str) -> Path:
    """Named by the row and the flags that it reads."""
    trained = "learning_rate" not in ROWS[name]
    budget = [f"steps{values.steps}" if values.steps else f"epochs{values.epochs:g}", f"rate{values.rate:g}"]
    head = [f"head{values.teacher_head_steps}"] if ROWS[name]["recipe"] == "distilbert" else []
    scores = [f"eval{values.eval_steps}", f"rows{values.batch_size}"]
    return values.folder / name_of(name, *(budget + head + scores if trained else []), f"seed{values.seed}")


def student(values, name: str, head: str) -> dict:
    """The report of a run; one that has finished before says it again."""
    folder = student_folder(values, name)
    flags = {"num_hidden_layers": 3, "learning_rate": values.rate, "eval_steps": values.eval_steps} | ROWS[name]
    if "max_steps" not in flags:
        flags |= {"max_steps": values.steps} if values.steps else {"epochs": values.epochs}
    if flags["recipe"] == "distilbert":
        flags["teacher_head"] = head
    config = config_of(values, values.checkpoint, folder, **flags)
    with contextlib.nullcontext() if (folder / REPORT).is_file() else timed(folder):
        return dataclasses.asdict(pretrain(config))


def probe(values, checkpoint: Path, folder: Path, steps: int) -> dict[str, float]:
    """Of held-out words, the share that a new head finds, which is trained on the frozen encoder for so many updates,
    and that of the commonest token."""
    if not (folder / PROBE).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with timed(folder):
            write_json(str(folder / PROBE), probed(values, checkpoint, folder, steps))
    return json.loads((folder / PROBE).read_text())


def probed(values, checkpoint: Path, folder: Path, steps: int) -> dict[str, float]:
    plan = make_pretrain_plan(config_of(values, checkpoint, folder, recipe="words", batch_size=32, **ALL_HIDDEN))
    strategy, progress = make_strategy("auto"), Progress()
    workers = Workers(strategy)
    corpus = open_corpus(plan, "", workers, strategy.num_replicas_in_sync, progress)
    settings = Run(plan, corpus, strategy, workers, progress).training_settings(
        steps, HEAD_RATE, stage_seed(values.seed, HEAD_PLACE)
    )
    seed_everything(settings.seed)
    with strategy.scope():
        bare, _ = open_teacher(str(checkpoint), corpus.kept, with_head=False)
        model = LanguageModel(bare.encoder, bare.family, LanguageHead(bare.encoder, bare.family))
    progress.begin(f"a head on {checkpoint}", later=[])
    batches = corpus.labelled_batches(plan.period(steps), settings.seed)
    train_head(model, batches, settings, strategy, progress.step)
    save_weights(head_path(str(folder)), head_parts(model))
    held_out = corpus.held_out_batches()
    score = LanguageScore(model.feature_model([], logits=True), language_objective(LABELS_ALONE), held_out)
    labels = Counter(label for batch in held_out for label in batch["labels"].tolist() if label >= 0)
    return {"accuracy": score()["accuracy"], "commonest": max(labels.values()) / labels.total()}


def task_folder(values, task: str) -> Path:
    """The task with so many of its labels, the same rows for all; without --labels, as it is."""
    if not values.labels:
        return values.data / task
    folder = values.folder / "tasks" / name_of(task, values.labels)
    if not folder.is_dir():
        kind = KindSettings(**{flag: TASKS[task].get(flag, False) for flag in ("do_NER", "do_pairwise")})
        whole = str(values.data / task)
        rows = few_rows(open_task(whole, kind), whole, values.labels, 42)
        write_few_labels(str(folder), whole, rows)
    return folder


def tuned(values, checkpoint: Path, task: str, seed: int) -> tuple[Path, dict]:
    """A fit on labels: its folder, and its line of the report."""
    flags = [f"labels{values.labels}", f"epochs{values.ft_epochs}", f"rate{values.ft_rate:g}", f"seed{seed}"]
    folder = checkpoint.parent / name_of(task, *flags)
    config = BaselineConfig(
        task=str(task_folder(values, task)),
        model_dir=str(folder),
        pt_model="auto",
        pt_model_checkpoint=str(checkpoint),
        batch_size=32,
        ft_epochs=values.ft_epochs,
        learning_rate=values.ft_rate,
        seed=seed,
        **TASKS[task],
    )
    if not (folder / METRICS).is_file():
        with timed(folder):
            fine_tune(fine_tuning_plan(config))
    (row,) = json.loads((folder / METRICS).read_text())["rows"]
    return folder, row


def scores(rows: list[dict]) -> str:
    """dev / test in percent; with several seeds, the mean and the standard deviation."""

    def shown(name: str) -> str:
        numbers = [100 * row[name] for row in rows]
        spread = f" ± {np.std(numbers, ddof=1):.1f}" if len(numbers) > 1 else ""
        return f"{np.mean(numbers):.1f}{spread}"

    return f"{shown('dev')} / {shown('test')}"


def commonest(values, task: str) -> str:
    """The accuracy of train's commonest label on dev and test; of tags, none."""
    if "do_NER" in TASKS[task]:
        return ""
    train, dev, test = (
        Counter(line.rsplit("\t", 1)[-1] for _, line in read_lines(values.data / task / f"{name}.tsv") if line.strip())
        for name in ("train", "dev", "test")
    )
    ((label, _),) = train.most_common(1)
    return " / ".join(f"{100 * labels[label] / labels.total():.1f}" for labels in (dev, test))


def line(values, name: str, head: str) -> str:
    folder, report = student_folder(values, name), student(values, name, head)
    places = [folder, folder / name_of("probe", values.head_steps)]
    cells = [f"{100 * probe(values, folder / 'checkpoint', places[1], values.head_steps)['accuracy']:.1f}"]
    trained, own = "learning_rate" not in ROWS[name], report["student_accuracy"]
    cells += ["" if own is None else f"{100 * own:.1f}", f"{report['pieces_per_second']:,.0f}" if trained else ""]
    found = []
    for task in values.tasks:
        fits = [tuned(values, folder / "checkpoint", task, seed) for seed in values.ft_seeds]
        places += [place for place, _ in fits]
        found.append(scores([row for _, row in fits]))
    spent = [seconds(place) for place in places]
    return row_of(name, *cells, *found, f"{spent[0]:,.0f}", f"{sum(spent):,.0f}")


def row_of(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with wikitext2, wikiann-en, sst2, mrpc")
    parser.add_argument("--checkpoint", type=Path, required=True, help="the teacher, without a head for words")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--steps", type=int, default=0, help="updates of pre-training, in place of --epochs")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--batch_size", type=int, default=32, help="rows of pre-training")
    parser.add_argument("--eval_steps", type=int, default=0, help="updates between losses on held-out rows")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--head_steps", type=int, default=500, help="updates of the head that asks each encoder")
    parser.add_argument("--teacher_head_steps", type=int, default=2000, help="updates of the head that teaches")
    parser.add_argument("--seed", type=int, default=42, help="of pre-training and heads")
    parser.add_argument("--labels", type=int, default=0, help="training rows of each task, drawn once; 0: all")
    parser.add_argument("--ft_epochs", type=int, default=3)
    parser.add_argument("--ft_rate", type=float, default=3e-4)
    parser.add_argument("--ft_seeds", type=int, nargs="+", default=[42], help="of the fine-tunings of each student")
    return parser.parse_args()


def main() -> None:
    values = flags()
    values.folder.mkdir(parents=True, exist_ok=True)
    write_corpus(values.data, values.folder / "corpus.txt")
    asked, teaching = (
        values.folder / name_of("teacher", f"head{steps}", f"seed{values.seed}")
        for steps in (values.head_steps, values.teacher_head_steps)
    )
    found = probe(values, values.checkpoint, asked, values.head_steps)
    own = probe(values, values.checkpoint, teaching, values.teacher_head_steps)
    titles = [f"{task} dev / test" for task in values.tasks]
    names = ["student", "words found", "by its own head", "pieces / s", *titles, "s of pre-training", "s in all"]
    print(row_of(*names), "| --- " * len(names) + "|", sep="\n")
    blank = [""] * len(values.tasks)
    spent = f"{seconds(teaching):,.0f}", f"{seconds(asked) + seconds(teaching):,.0f}"
    print(row_of("the teacher", f"{100 * found['accuracy']:.1f}", f"{100 * own['accuracy']:.1f}", "", *blank, *spent))
    shares = [commonest(values, task) for task in values.tasks]
    print(row_of("the commonest one", f"{100 * found['commonest']:.1f}", "", "", *shares, "", ""), flush=True)
    for name in values.rows:
        print(line(values, name, head_path(str(teaching))), flush=True)


if __name__ == "__main__":
    main()
