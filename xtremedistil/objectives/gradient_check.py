"""Checks that each term has a gradient in the trained variables; otherwise it would silently train nothing."""

from collections.abc import Sequence

import tensorflow as tf

from xtremedistil.data.padding import Arrays
from xtremedistil.training.objectives import Objective
from xtremedistil.training.strategy import wants_static_shapes


def require_gradients(
    model: tf.keras.Model,
    objective: Objective,
    batch: Arrays,
    variables: Sequence[tf.Variable],
    strategy: tf.distribute.Strategy,
) -> None:
    """Raises ValueError if a term has no gradient in any of the variables; does nothing on TPUs.

    Args:
        batch: a small batch with teacher outputs.
    """
    if wants_static_shapes(strategy):  # a step outside the compiled loop would be another program
        return
    if idle := _idle_terms(model, objective, batch, variables, strategy):
        raise ValueError(
            f"{', '.join(idle)}: this would train nothing, because it has no gradient in any trained variable of the "
            "student. Either the tensors that it compares do not depend on trained variables (trained= of a fit, "
            "unfrozen of a stage): train more, or leave the term out. Or a stop_gradient, an argmax or a cast to "
            "integers in the model or its adaptor stops the gradient."
        )


def _idle_terms(model, objective: Objective, batch: Arrays, variables, strategy) -> list[str]:
    own = [strategy.experimental_local_results(variable)[0] for variable in variables]
    tensors = {name: tf.constant(array) for name, array in batch.items()}
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(own)
        terms = objective(model({name: tensors[name] for name in model.input}, training=False), tensors)
    weighed = {name: term.value for name, term in terms.items() if objective.weights.get(name, 1.0)}
    return [name for name, value in weighed.items() if all(one is None for one in tape.gradient(value, own))]
