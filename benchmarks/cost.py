"""Seconds and bytes that a million transfer lines cost, by the sizes of teacher and student.

    python benchmarks/cost.py --tokens 16 64

Random weights, generated rows, tagging with 7 labels. teacher: its forward pass, states and attention maps included.
student: an update of the whole student from matched states and maps, and one from logits alone. head: an update of the
layers above kept states. input: batches read from disk and padded, without a model. Each line is the median of a few
dozen batches.
"""

import argparse
import tempfile
import time
from collections.abc import Callable

import numpy as np

import xtremedistil  # noqa: F401 - chooses legacy Keras
from xtremedistil.console.quiet import import_tensorflow

MILLION, LABELS, VOCABULARY, HEADS = 1_000_000, 7, 30_522, 12
TEACHERS, STUDENTS = ((6, 384), (12, 768)), ((2, 192), (6, 384))
BATCH, ROWS, BATCHES = 128, 1024, 6


def seconds_per_million(call: Callable[[], None], rows: int) -> float:
    call()
    times = []
    for _ in range(BATCHES):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return float(np.median(times)) / rows * MILLION


def generated_rows(pieces: int):
    from xtremedistil.data.features import Features

    ids = np.random.default_rng(1).integers(1000, VOCABULARY, (ROWS, pieces))
    words = np.tile(np.arange(pieces), (ROWS, 1))
    return Features.from_rows(ids.tolist(), labels=np.zeros_like(ids).tolist(), word_ids=words.tolist())


def encoder(layers: int, width: int, name: str):
    from xtremedistil.models.architectures.families import FAMILIES
    from xtremedistil.models.checkpoints.pretrained import new_encoder

    family = FAMILIES["TFBertModel"]
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": 4 * width}
    sizes |= {"num_attention_heads": HEADS, "vocab_size": VOCABULARY, "max_position_embeddings": 512}
    return new_encoder(family, name=name, **sizes), family


def word_map(teacher_width: int, width: int):
    """A table of word embeddings and the matrix that reduces it."""
    from xtremedistil.models.factorized_embedding import MappedEmbedding

    generator = np.random.default_rng(1)
    table, kernel = (
        generator.standard_normal(shape) for shape in ((VOCABULARY, teacher_width), (teacher_width, width))
    )
    return MappedEmbedding(table.astype(np.float32), kernel.astype(np.float32) / teacher_width, name="word_map")


class Pair:
    """A teacher and a student on generated rows, with the teacher's outputs on disk."""

    def __init__(self, teacher: tuple[int, int], student: tuple[int, int], pieces: int, folder: str):
        import tensorflow as tf

        from xtremedistil.distillation.teacher_outputs.cache import cached_outputs
        from xtremedistil.distillation.teacher_outputs.cache_writer import OutputWriterConfig
        from xtremedistil.models.student import build_student
        from xtremedistil.models.teacher import build_teacher
        from xtremedistil.terms.layer_map import layer_map, mapped_matches, teacher_names
        from xtremedistil.training.workers import Workers

        head = {"by_position": True, "num_labels": LABELS}
        self.teacher = build_teacher(*encoder(*teacher, "tf_model"), **head)
        own = encoder(*student, "student_2")
        self.student = build_student(
            *own, **head, teacher_hidden_size=teacher[1], word_map=word_map(teacher[1], student[1])
        )
        depths = {"teacher_layers": teacher[0], "student_layers": student[0]}
        self.matches = mapped_matches(layer_map("last", **depths), multi_hidden_states=True, attention=True)
        self.features = generated_rows(pieces)
        names = ["logits", *teacher_names(self.matches)]
        self.model = self.teacher.feature_model(names)
        how = OutputWriterConfig(0, BATCH, Workers(tf.distribute.get_strategy()))
        self.targets = cached_outputs(lambda _: self.model, self.features, names, folder, key="cost", how=how)

    def bytes_per_million(self) -> dict[str, float]:
        sizes = {name: array.nbytes / ROWS * MILLION for name, array in self.targets.arrays.items()}
        last = max(name for name in sizes if name.startswith("hidden_states"))
        return {"logits": sizes["logits"], "last state": sizes[last], "all": sum(sizes.values())}

    def teacher_seconds(self) -> float:
        from xtremedistil.data.padding import pad_rows
        from xtremedistil.models.forward import make_predict_function

        predict, rows = make_predict_function(self.model), np.arange(BATCH)
        batch = pad_rows(self.features, rows, int(self.features.lengths[0]), 0)
        return seconds_per_million(lambda: predict(batch), BATCH)

    def input_seconds(self) -> float:
        batches = self.batches(list(self.targets.arrays))
        return seconds_per_million(lambda: [None for _ in batches.epoch(0, 1)], ROWS)

    def states_seconds(self) -> float:
        from xtremedistil.objectives.matches import matches_objective

        model, projections = self.student.matching_model(self.matches)
        extra = [variable for layer in projections for variable in layer.variables]
        return self._update_seconds(model, extra, matches_objective(self.matches), list(self.targets.arrays))

    def logits_seconds(self) -> float:
        return self._update_seconds(self.student.training_model, [], self._logits_objective(), ["logits"])

    def _logits_objective(self):
        from xtremedistil.objectives.from_terms import terms_objective
        from xtremedistil.terms.soft_labels import SoftLabels
        from xtremedistil.terms.terms import Terms

        return terms_objective(Terms(SoftLabels()), (), self.student)

    def head_seconds(self) -> float:
        import tensorflow as tf

        width = self.student.encoder.config.hidden_size
        states = tf.random.normal([BATCH, int(self.features.lengths[0]), width])
        head = [*self.student.projection.weights, *self.student.head.weights] if self.student.projection else None
        head = head or list(self.student.head.weights)
        extra = {"state": states}
        return self._step_seconds(self.student.head_model(), head, self._logits_objective(), ["logits"], extra)

    def _update_seconds(self, model, extra: list, objective, names: list[str]) -> float:
        return self._step_seconds(model, self.student.weights + extra, objective, names, {})

    def _step_seconds(self, model, variables: list, objective, names: list[str], extra: dict) -> float:
        import tensorflow as tf

        from xtremedistil.training.learning_rate import LearningRate
        from xtremedistil.training.trainer import Trainer, TrainingSettings

        recipe = TrainingSettings(LearningRate(1e-4, 1), patience=1, max_grad_norm=1.0, seed=1)
        trainer = Trainer(model, variables, objective, tf.distribute.get_strategy(), recipe)
        batch = {name: tf.constant(array) for name, array in self.batches(names).arrays(np.arange(BATCH)).items()}
        return seconds_per_million(lambda: trainer.step(batch | extra, 0, 1e-4)["loss"].numpy(), BATCH)

    def batches(self, names: list[str]):
        from xtremedistil.training.batching import TrainingBatches

        return TrainingBatches(self.features, BATCH, 0, 0, [self.targets.select(names)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=int, nargs="+", default=[16, 64], help="of every row")
    values = parser.parse_args()
    import_tensorflow(verbose=False)
    columns = ("pieces", "teacher", "student", "teacher s", "states s", "logits s", "head s", "input s")
    print(
        "| " + " | ".join((*columns, "logits GB", "last state GB", "all GB")) + " |\n" + "| --- " * 11 + "|", flush=True
    )
    for pieces in values.pieces:
        for teacher, student in zip(TEACHERS, STUDENTS, strict=True):
            with tempfile.TemporaryDirectory() as folder:
                pair = Pair(teacher, student, pieces, folder)
                measures = (pair.teacher_seconds, pair.states_seconds, pair.logits_seconds, pair.head_seconds)
                seconds = [measure() for measure in (*measures, pair.input_seconds)]
                sizes = [size / 1e9 for size in pair.bytes_per_million().values()]
            shapes = [f"{layers} x {width}" for layers, width in (teacher, student)]
            cells = [str(pieces), *shapes, *(f"{s:,.0f}" for s in seconds), *(f"{size:,.2f}" for size in sizes)]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
