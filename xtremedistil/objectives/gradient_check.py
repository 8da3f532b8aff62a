"""Whether what a fit minimises reaches what it changes: a term that does not would teach nothing, without a word."""

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
    """Raises ValueError where a term has no gradient in any of the variables. Not looked into on TPUs.

    Args:
        batch: a small one, with targets.
    """
    if wants_static_shapes(strategy):  # where a step by hand would be a program of its own
        return
    if idle := _idle_terms(model, objective, batch, variables, strategy):
        raise ValueError(
            f"{', '.join(idle)}: this would train nothing, for it has no gradient in any variable of the student that "
            "changes. Either what it compares lies below, or beside, all that is trained (trained= of a fit, unfrozen "
            "of a stage): train more, or leave the term out. Or a stop_gradient, an argmax, a cast to integers cuts it "
            "off in the model or in its adaptor."
        )


def _idle_terms(model, objective: Objective, batch: Arrays, variables, strategy) -> list[str]:
    own = [strategy.experimental_local_results(variable)[0] for variable in variables]
    tensors = {name: tf.constant(array) for name, array in batch.items()}
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(own)
        terms = objective(model({name: tensors[name] for name in model.input}, training=False), tensors)
    weighed = {name: term.value for name, term in terms.items() if objective.weights.get(name, 1.0)}
    return [name for name, value in weighed.items() if all(one is None for one in tape.gradient(value, own))]
