"""What each kind of term costs: an update with it, beside one with logits alone.

    PYTHONPATH=. python benchmarks/terms.py

A teacher of 6 x 384 and a student of 2 x 192 with random weights, generated rows, the teacher's outputs in memory.
CPU time of an update, of all threads, the median of several. The encoder runs once for all terms.
"""

import resource
import tempfile

import numpy as np

import xtremedistil  # noqa: F401 - chooses legacy Keras
from benchmarks.cost import BATCH, Pair
from xtremedistil.console.quiet import import_tensorflow
from xtremedistil.data.padding import INPUT_NAMES
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.terms.terms import Terms

REPEATS, PIECES = 30, 16
STATES = [Match("hidden_states", teacher, student) for teacher, student in ((6, 2), (5, 1))]
MAPS = [Match("attentions", t, s, "attention_squared_distance") for t, s in ((5, 1), (4, 0))]
RELATIONS = [Match(kind, 5, 1, "relation_kl", options={"relation_heads": 12}) for kind in ("queries", "keys", "values")]
LAYERS = [Match("hidden_states", tuple(range(1, 7)), (1, 2), "layer_transport", options={"solver": "sinkhorn"})]
ROWS = {
    "logits": [],
    "+ hidden states": STATES,
    "+ attention": [*STATES, *MAPS],
    "+ relations": [*STATES, *MAPS, *RELATIONS],
    "+ all layers with all": [*STATES, *MAPS, *RELATIONS, *LAYERS],
}


def cpu_milliseconds(work) -> float:
    """Of all threads, the median of single calls after the first two."""
    found = []
    for _ in range(REPEATS + 2):
        before = resource.getrusage(resource.RUSAGE_SELF)
        work()
        after = resource.getrusage(resource.RUSAGE_SELF)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return 1000 * float(np.median(found[2:]))


def main() -> None:
    import_tensorflow(verbose=False)
    import tensorflow as tf

    from xtremedistil.objectives.from_terms import terms_objective
    from xtremedistil.terms.layer_map import teacher_names
    from xtremedistil.training.learning_rate import LearningRate
    from xtremedistil.training.trainer import Trainer, TrainingSettings

    with tempfile.TemporaryDirectory() as folder:
        pair = Pair((6, 384), (2, 192), PIECES, folder)
        print("| terms | CPU ms an update | times logits alone |\n| --- | --- | --- |", flush=True)
        first = None
        for name, matches in ROWS.items():
            names = ["logits", *teacher_names(matches)]
            arrays = pair.batches([]).arrays(np.arange(BATCH))
            batch = {key: tf.constant(array) for key, array in arrays.items()}
            outputs = pair.teacher.feature_model(names)({key: batch[key] for key in INPUT_NAMES})
            batch |= {f"teacher_{key}": value for key, value in outputs.items()}
            model, projections = pair.student.matching_model(matches)
            variables = pair.student.weights + [variable for layer in projections for variable in layer.variables]
            objective = terms_objective(Terms(SoftLabels()), matches, pair.student)
            recipe = TrainingSettings(LearningRate(1e-4, 1), patience=1, max_grad_norm=1.0, seed=1)
            trainer = Trainer(model, variables, objective, tf.distribute.get_strategy(), recipe)
            spent = cpu_milliseconds(lambda trainer=trainer, batch=batch: trainer.step(batch, 0, 1e-4)["loss"].numpy())
            first = first or spent
            print(f"| {name} ({BATCH} rows of {PIECES} tokens) | {spent:.0f} | {spent / first:.2f} |", flush=True)


if __name__ == "__main__":
    main()
