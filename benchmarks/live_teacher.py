"""What the teacher costs inside a step of pre-training, and what the naive loop costs.

    PYTHONPATH=. python benchmarks/live_teacher.py --corpus corpus.txt --checkpoint teachers/minilm-l6-h384 \
        --folder runs/live-teacher

Like with like: each batch goes through all ways, one after the other, before the next one does; same rows, weights
(the rate is 0), precision, terms; no dropout, so that the losses have to agree, which is looked at.
- step: student and teacher as one model, which predicts masked tokens alone.
- student alone: the same update with the teacher's outputs given as numbers.
- teacher alone: its forward pass over the batch.
- naive: rows padded to seq_len, the teacher run apart, through NumPy, logits of both at all positions; the terms are
  over the masked tokens as before.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import xtremedistil  # noqa: F401 - chooses legacy Keras, before TensorFlow comes in

# isort: split
import tensorflow as tf
import tf_keras

from xtremedistil.console.progress import Progress
from xtremedistil.models.features.encoder_outputs import in_float32
from xtremedistil.models.language_model.language_model import LanguageModel, language_inputs
from xtremedistil.models.projections import matched_tensors
from xtremedistil.pretraining.config import PretrainConfig
from xtremedistil.pretraining.language_objective import language_objective
from xtremedistil.pretraining.live_teacher import student_with_teacher
from xtremedistil.pretraining.plan import make_pretrain_plan
from xtremedistil.pretraining.pretrain import HEAD_PLACE, Run, trained_variables
from xtremedistil.pretraining.recipes import predicts_tokens
from xtremedistil.pretraining.run_corpus import open_corpus
from xtremedistil.terms.layer_map import teacher_names
from xtremedistil.terms.terms import Terms
from xtremedistil.training.loop import batch_signature
from xtremedistil.training.strategy import make_strategy, precision, stage_seed
from xtremedistil.training.trainer import Trainer
from xtremedistil.training.workers import Workers

WARM_UP, PEAK, SEED = 2, 1e-4, 42
TOLERANCE = {None: 1e-3, "mixed_bfloat16": 0.05}  # relative, of losses
ROW_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
Arrays = dict[str, np.ndarray]


def clocked(action: Callable) -> tuple[float, float]:
    """Seconds, and what comes of it."""
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, float(result)


def student_alone(student: LanguageModel, terms: Terms, teacher_width: int) -> tf_keras.Model:
    """As `student_with_teacher`, without the teacher, whose outputs come with the batch."""
    inputs = language_inputs()
    names = [name for match in terms.matches for name in match.student_names]
    tensors = student.tensors(inputs, names, logits=predicts_tokens(terms))
    outputs, _ = matched_tensors(terms.matches, tensors, teacher_width=lambda match: teacher_width)
    if predicts_tokens(terms):
        outputs["logits"] = in_float32(tensors["logits"], "logits")
    return tf_keras.Model(inputs, outputs)


def padded(batch: Arrays, seq_len: int) -> Arrays:
    """Everything padded to `seq_len`, all positions predicted; the terms are over those of before."""
    rows, width = batch["input_ids"].shape
    wide = {name: np.pad(batch[name], ((0, 0), (0, seq_len - width))) for name in ROW_INPUTS}
    places = batch["predicted"] // width * seq_len + batch["predicted"] % width
    labels, mask = np.full(rows * seq_len, -100, np.int32), np.zeros(rows * seq_len, np.float32)
    labels[places], mask[places] = batch["labels"], batch["predicted_mask"]
    predictions = {"predicted": np.arange(rows * seq_len, dtype=np.int32), "labels": labels, "predicted_mask": mask}
    return wide | predictions | {"row_mask": batch["row_mask"]}


def tensors(arrays: dict) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in arrays.items()}


def prepared(values) -> Run:
    config = PretrainConfig(
        pt_teacher_checkpoint=values.checkpoint,
        corpus=(values.corpus,),
        model_dir=str(values.folder),
        seq_len=values.seq_len,
        batch_size=values.batch_size,
        recipe=values.recipe,
        num_hidden_layers=values.layers,
        dropout=0.0,
        opt_policy=values.opt_policy,
        seed=SEED,
    )
    plan = make_pretrain_plan(config)
    strategy, progress = make_strategy("one_device"), Progress()
    workers = Workers(strategy)
    corpus = open_corpus(plan, str(values.folder / "corpus"), workers, 1, progress)
    return Run(plan, corpus, strategy, workers, progress)


def ways_of(run: Run, sample: Arrays) -> dict[str, Callable[[Arrays], tuple[float, float]]]:
    """By name, what takes a batch and gives its seconds and its loss (of the teacher, a number of no use)."""
    teacher, _ = run.teacher()
    terms, student = run.plan.terms, run.student(teacher)
    features = teacher.feature_model(teacher_names(terms.matches), logits=terms.uses_logits)

    def outputs_of_teacher(batch):
        found = features({name: batch[name] for name in features.input}, training=False)
        return {f"teacher_{name}": tensor for name, tensor in found.items()}

    signature = [batch_signature(sample)]
    run_teacher = tf.function(outputs_of_teacher, input_signature=signature)
    summed = tf.function(
        lambda batch: tf.add_n([tf.reduce_sum(found) for found in outputs_of_teacher(batch).values()]),
        input_signature=signature,
    )
    settings = run.training_settings(1, PEAK, stage_seed(SEED, HEAD_PLACE))

    def update(model: tf_keras.Model, arrays: dict) -> Callable[[dict], float]:
        trainer = Trainer(
            model, trained_variables(student, run.plan.student), language_objective(terms), run.strategy, settings
        )
        trainer.expect(batch_signature(arrays))
        return lambda batch: trainer.step(batch, 0, 0.0)["loss"].numpy()

    logits = {"student_logits": predicts_tokens(terms), "teacher_logits": terms.uses_logits}
    whole = update(student_with_teacher(student, teacher, terms.matches, **logits)[0], sample)
    given = sample | {name: tensor.numpy() for name, tensor in run_teacher(tensors(sample)).items()}
    alone = update(student_alone(student, terms, teacher.encoder.config.hidden_size), given)

    def step(arrays: Arrays):
        batch = tensors(arrays)
        return clocked(lambda: whole(batch))

    def student_step(arrays: Arrays):
        batch = tensors(arrays)
        batch |= run_teacher(batch)
        return clocked(lambda: alone(batch))

    def forward(arrays: Arrays):
        batch = tensors(arrays)
        return clocked(lambda: summed(batch).numpy())

    def naive(arrays: Arrays):
        batch = tensors(padded(arrays, run.plan.corpus.seq_len))
        return clocked(
            lambda: alone(batch | tensors({name: found.numpy() for name, found in run_teacher(batch).items()}))
        )

    return {"step": step, "student alone": student_step, "teacher alone": forward, "naive": naive}


def measured(values) -> tuple[dict[str, float], float, float]:
    """Seconds of a batch by each way, its tokens, and the largest relative difference of a loss from the step's."""
    run = prepared(values)
    batches = [share for (share,) in run.corpus.batches(values.batches, stage_seed(SEED, HEAD_PLACE)).epoch(0, 1)]
    with precision(run.plan.precision):
        ways = ways_of(run, batches[0])
        found = [{name: way(batch) for name, way in ways.items()} for batch in batches]
    times = {name: float(np.mean([of_batch[name][0] for of_batch in found[WARM_UP:]])) for name in ways}
    differences = [
        abs(of_batch[name][1] / of_batch["step"][1] - 1) for of_batch in found for name in ("student alone", "naive")
    ]
    return times, float(np.mean([batch["attention_mask"].sum() for batch in batches[WARM_UP:]])), max(differences)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--checkpoint", required=True, help="the teacher")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--recipe", default="distilbert", choices=("distilbert", "minilm", "minilmv2"))
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--seq_len", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--opt_policy", choices=("mixed_bfloat16",), help="of both models in all ways")
    parser.add_argument("--batches", type=int, default=20, help=f"the first {WARM_UP} are not counted")
    values = parser.parse_args()
    if values.batches <= WARM_UP:
        parser.error(f"--batches {values.batches}: the first {WARM_UP} are not counted; give more")
    times, pieces, difference = measured(values)
    if difference > TOLERANCE[values.opt_policy]:
        sys.exit(f"The losses differ by up to {difference:.1%}: the ways do not do the same work.")
    print("| | seconds a batch | tokens a second | share of the step |\n| --- | --- | --- | --- |")
    for name, taken in times.items():
        print(f"| {name} | {taken:.3f} | {pieces / taken:,.0f} | {taken / times['step']:.0%} |")
    both = times["student alone"] + times["teacher alone"]
    print(f"step over student alone + teacher alone: {times['step'] / both:.2f}")
    print(f"largest relative difference of a loss from the step's: {difference:.1e}")


if __name__ == "__main__":
    main()
