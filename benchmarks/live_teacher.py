"""What the teacher costs inside a step of pre-training, and what the naive loop costs.

    PYTHONPATH=. python benchmarks/live_teacher.py --corpus corpus.txt --checkpoint teachers/minilm-l6-h384 \
        --folder runs/live-teacher

One batch after another, the same ones in all ways, the median of their seconds:
- step: student and teacher as one model, words asked for where they are hidden.
- student alone: the same update with the teacher's word on the batch given as numbers.
- teacher alone: its forward pass over the batch.
- naive: rows padded to seq_len, the teacher asked apart, both asked for words at all positions.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from xtremedistil.pretraining.pretrain import HEAD_PLACE, Run
from xtremedistil.pretraining.pretrain_config import PretrainConfig
from xtremedistil.pretraining.pretrain_corpus import open_corpus
from xtremedistil.pretraining.recipes import configured_learning
from xtremedistil.pretraining.student_shape import student_shape

WARM_UP = 2


def seconds(action, batches) -> float:
    """Median over the batches, behind those that warm up."""
    taken = []
    for batch in batches:
        started = time.perf_counter()
        action(batch)
        taken.append(time.perf_counter() - started)
    return float(np.median(taken[WARM_UP:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--checkpoint", required=True, help="the teacher")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--recipe", default="distilbert")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--seq_len", type=int, default=128)
    parser.add_argument("--batches", type=int, default=20)
    values = parser.parse_args()
    import tensorflow as tf

    from xtremedistil.models.shapes import encoder_shape
    from xtremedistil.pretraining.language_objective import learning_objective
    from xtremedistil.pretraining.live_teacher import taught_model
    from xtremedistil.pretraining.pretrain import trained_variables
    from xtremedistil.reporting.progress import Progress
    from xtremedistil.training.loop import batch_signature
    from xtremedistil.training.strategy import make_strategy, stage_seed
    from xtremedistil.training.trainer import Trainer
    from xtremedistil.training.workers import Workers

    config = PretrainConfig(
        pt_teacher_checkpoint=values.checkpoint,
        corpus=(values.corpus,),
        model_dir=str(values.folder),
        seq_len=values.seq_len,
        recipe=values.recipe,
        num_hidden_layers=values.layers,
        relation_heads=48,
        seed=42,
    )
    strategy, progress = make_strategy("auto"), Progress()
    workers = Workers(strategy)
    corpus = open_corpus(config, str(values.folder / "corpus"), workers, 1, progress)
    run = Run(config, corpus, strategy, workers, progress)
    teacher, _ = run.teacher()
    shape = encoder_shape(teacher.encoder.config.to_dict(), values.checkpoint)
    learning = configured_learning(config, shape, student_shape(config, shape))
    student = run.student(teacher, learning)
    wanted = {"predicts": learning.predicts_words, "taught": learning.teaches_words}
    recipe = run.recipe(1, 1e-4, stage_seed(42, HEAD_PLACE))
    objective = learning_objective(learning)

    def trainer(model):
        return Trainer(model, trained_variables(student, config), objective, strategy, recipe)

    batches = corpus.batches(values.batches, recipe.seed)
    arrays = [share for (share,) in batches.epoch(0, 1)]
    tensors = [{name: tf.constant(array) for name, array in batch.items()} for batch in arrays]
    pieces = np.median([batch["attention_mask"].sum() for batch in arrays])

    whole = trainer(taught_model(student, teacher, learning.matches, **wanted)[0])
    whole.expect(batch_signature(batches))
    said = teacher.feature_model(
        sorted({n for m in learning.matches for n in m.teacher_names}), logits=wanted["taught"]
    )
    ask = tf.function(
        lambda batch: said({name: batch[name] for name in said.input}, training=False), reduce_retracing=True
    )
    given = [batch | {f"teacher_{name}": value for name, value in ask(batch).items()} for batch in tensors]
    alone = trainer(taught_model(student, None, learning.matches, **wanted)[0])
    results = {
        "step": seconds(lambda batch: whole.step(batch, 0, 1e-4)["loss"].numpy(), tensors),
        "student alone": seconds(lambda batch: alone.step(batch, 0, 1e-4)["loss"].numpy(), given),
        "teacher alone": seconds(lambda batch: [value.numpy() for value in ask(batch).values()], tensors),
        "naive": seconds(lambda batch: naive_step(ask, alone, batch, values.seq_len), arrays),
    }
    print("| | seconds a batch | pieces a second | share of the step |\n| --- | --- | --- | --- |")
    for name, taken in results.items():
        print(f"| {name} | {taken:.3f} | {pieces / taken:,.0f} | {taken / results['step']:.0%} |")
    both = results["student alone"] + results["teacher alone"]
    print(f"step over student alone + teacher alone: {results['step'] / both:.2f}")


def naive_step(ask, alone, batch: dict, seq_len: int) -> None:
    """Everything padded to `seq_len`, all positions asked about, and what the teacher says carried over as numbers."""
    import tensorflow as tf

    rows, width = batch["input_ids"].shape
    wide = {
        name: np.pad(batch[name], ((0, 0), (0, seq_len - width)))
        for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    places = batch["predicted"] // width * seq_len + batch["predicted"] % width
    labels = np.full(rows * seq_len, -100, np.int32)
    labels[places] = batch["labels"]
    wide |= {"predicted": np.arange(rows * seq_len, dtype=np.int32), "labels": labels, "row_mask": batch["row_mask"]}
    wide["predicted_mask"] = wide["attention_mask"].reshape(-1).astype(np.float32)
    tensors = {name: tf.constant(array) for name, array in wide.items()}
    said = {f"teacher_{name}": tf.constant(value.numpy()) for name, value in ask(tensors).items()}
    alone.step(tensors | said, 0, 1e-4)["loss"].numpy()


if __name__ == "__main__":
    main()
