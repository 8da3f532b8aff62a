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
import tensorflow as tf
import tf_keras

from xtremedistil.distillation.layer_map import teacher_names
from xtremedistil.models.encoder import in_float32
from xtremedistil.models.language_model import LanguageModel, language_inputs
from xtremedistil.models.matching import matched_tensors
from xtremedistil.models.shapes import encoder_shape
from xtremedistil.pretraining.language_objective import learning_objective
from xtremedistil.pretraining.live_teacher import taught_model
from xtremedistil.pretraining.pretrain import HEAD_PLACE, Run, trained_variables
from xtremedistil.pretraining.pretrain_config import PretrainConfig
from xtremedistil.pretraining.pretrain_corpus import open_corpus
from xtremedistil.pretraining.recipes import Learning, configured_learning
from xtremedistil.pretraining.student_shape import student_shape
from xtremedistil.reporting.progress import Progress
from xtremedistil.training.loop import batch_signature
from xtremedistil.training.strategy import make_strategy, stage_seed
from xtremedistil.training.trainer import Trainer
from xtremedistil.training.workers import Workers

WARM_UP, RATE, SEED = 2, 1e-4, 42
ROW_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def seconds(action, batches) -> float:
    """Median over the batches, behind those that warm up."""
    taken = []
    for batch in batches:
        started = time.perf_counter()
        action(batch)
        taken.append(time.perf_counter() - started)
    return float(np.median(taken[WARM_UP:]))


def student_alone(student: LanguageModel, learning: Learning, teacher_width: int) -> tf_keras.Model:
    """As `taught_model`, without the teacher: what it says comes with the batch."""
    inputs = language_inputs()
    names = [name for match in learning.matches for name in match.student_names]
    tensors = student.tensors(inputs, names, logits=learning.predicts_words)
    outputs, _ = matched_tensors(learning.matches, tensors, teacher_width=lambda match: teacher_width)
    if learning.predicts_words:
        outputs["logits"] = in_float32(tensors["logits"], "logits")
    return tf_keras.Model(inputs, outputs)


def padded(batch: dict, seq_len: int) -> dict:
    """Everything padded to `seq_len`, all positions asked about."""
    rows, width = batch["input_ids"].shape
    wide = {name: np.pad(batch[name], ((0, 0), (0, seq_len - width))) for name in ROW_INPUTS}
    places = batch["predicted"] // width * seq_len + batch["predicted"] % width
    labels = np.full(rows * seq_len, -100, np.int32)
    labels[places] = batch["labels"]
    asked = {"predicted": np.arange(rows * seq_len, dtype=np.int32), "labels": labels}
    return wide | asked | {"row_mask": batch["row_mask"], "predicted_mask": wide["attention_mask"].reshape(-1) * 1.0}


def prepared(values) -> tuple[Run, PretrainConfig]:
    config = PretrainConfig(
        pt_teacher_checkpoint=values.checkpoint,
        corpus=(values.corpus,),
        model_dir=str(values.folder),
        seq_len=values.seq_len,
        recipe=values.recipe,
        num_hidden_layers=values.layers,
        seed=SEED,
    )
    strategy, progress = make_strategy("auto"), Progress()
    workers = Workers(strategy)
    corpus = open_corpus(config, str(values.folder / "corpus"), workers, 1, progress)
    return Run(config, corpus, strategy, workers, progress), config


def measured(values) -> tuple[dict[str, float], float]:
    """Seconds of each way, and the pieces of a batch (medians)."""
    run, config = prepared(values)
    teacher, _ = run.teacher()
    shape = encoder_shape(teacher.encoder.config.to_dict(), values.checkpoint)
    learning = configured_learning(config, shape, student_shape(config, shape))
    student = run.student(teacher, learning)
    recipe = run.recipe(1, RATE, stage_seed(SEED, HEAD_PLACE))
    objective = learning_objective(learning)

    def trainer(model: tf_keras.Model, sample: dict) -> Trainer:
        made = Trainer(model, trained_variables(student, config), objective, run.strategy, recipe)
        made.expect(batch_signature({name: np.asarray(value) for name, value in sample.items()}))
        return made

    said = teacher.feature_model(teacher_names(learning.matches), logits=learning.teaches_words)

    @tf.function(reduce_retracing=True)
    def ask(batch):
        found = said({name: batch[name] for name in said.input}, training=False)
        return {f"teacher_{name}": tensor for name, tensor in found.items()}

    arrays = [share for (share,) in run.corpus.batches(values.batches, recipe.seed).epoch(0, 1)]
    tensors = [{name: tf.constant(array) for name, array in batch.items()} for batch in arrays]
    given = [batch | ask(batch) for batch in tensors]
    wanted = {"predicts": learning.predicts_words, "taught": learning.teaches_words}
    whole = trainer(taught_model(student, teacher, learning.matches, **wanted)[0], arrays[0])
    alone = trainer(student_alone(student, learning, shape.hidden_size), given[0])

    def naive_step(batch: dict) -> None:
        wide = {
            name: tf.constant(array, tensors[0][name].dtype) for name, array in padded(batch, values.seq_len).items()
        }
        words = {name: tf.constant(value.numpy()) for name, value in ask(wide).items()}
        alone.step(wide | words, 0, RATE)["loss"].numpy()

    times = {
        "step": seconds(lambda batch: whole.step(batch, 0, RATE)["loss"].numpy(), tensors),
        "student alone": seconds(lambda batch: alone.step(batch, 0, RATE)["loss"].numpy(), given),
        "teacher alone": seconds(lambda batch: [value.numpy() for value in ask(batch).values()], tensors),
        "naive": seconds(naive_step, arrays),
    }
    return times, float(np.median([batch["attention_mask"].sum() for batch in arrays]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--checkpoint", required=True, help="the teacher")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--recipe", default="distilbert", choices=("distilbert", "minilm", "minilmv2"))
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--seq_len", type=int, default=128)
    parser.add_argument("--batches", type=int, default=20)
    times, pieces = measured(parser.parse_args())
    print("| | seconds a batch | pieces a second | share of the step |\n| --- | --- | --- | --- |")
    for name, taken in times.items():
        print(f"| {name} | {taken:.3f} | {pieces / taken:,.0f} | {taken / times['step']:.0%} |")
    both = times["student alone"] + times["teacher alone"]
    print(f"step over student alone + teacher alone: {times['step'] / both:.2f}")


if __name__ == "__main__":
    main()
