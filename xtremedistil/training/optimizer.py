"""Adam, its weight decay, and the scaling of losses in half precision."""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras


def make_optimizer(peak: float, weight_decay: float, variables: Sequence[tf.Variable]):
    """Adam for `variables`; with a weight decay above 0 it is AdamW (Loshchilov and Hutter, 2019).

    Decay is decoupled from the gradient and from its clipping: at each step, weights first lose rate x decay of
    themselves. Under a float16 policy the optimizer scales losses.
    """
    # The step's graph is compiled as a whole or not at all; Adam compiling itself apart only costs time.
    optimizer = tf_keras.optimizers.Adam(peak, epsilon=1e-8, jit_compile=False, weight_decay=weight_decay or None)
    optimizer.exclude_from_weight_decay([variable for variable in variables if not decays(variable)])
    if tf_keras.mixed_precision.global_policy().compute_dtype == "float16":
        optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


def optimizer_variables(optimizer) -> list[tf.Variable]:
    """All that an optimizer remembers, the state of the loss scale too, which Keras leaves out."""
    scale = getattr(optimizer, "_loss_scale", None)
    return [*optimizer.variables, *([] if scale is None else [scale.current_loss_scale, scale.counter])]


def decays(variable: tf.Variable) -> bool:
    """Whether weight decay applies: not to biases, nor to the gains and offsets of layer norms.

    Most of these are vectors; the biases of GPT-2 and XLNet are not.
    """
    name = variable.name.split("/")[-1].split(":")[0]
    return variable.shape.rank > 1 and not name.endswith(("bias", "gamma", "beta"))
