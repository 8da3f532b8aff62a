"""Adam, its weight decay, and the scaling of losses in half precision."""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras


class FusedAdam(tf_keras.optimizers.Adam):
    """Adam whose dense update is one kernel with one pass over the weights; Keras' own makes a dozen passes.

    The formula is the same (Kingma and Ba, 2015, section 2, last paragraph, with its epsilon-hat).

    Fields:
        rate_factors: factor of each variable's learning rate, in the order of `build`; empty: 1 for all.
    """

    rate_factors: Sequence[float] = ()

    def update_step(self, gradient, variable):
        place = self._index_dict[self._var_key(variable)]
        factor = self.rate_factors[place] if self.rate_factors else 1.0
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].handle,
            v=self._velocities[place].handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=factor * tf.cast(self.learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def make_optimizer(
    peak: float,
    weight_decay: float,
    variables: Sequence[tf.Variable],
    rate_factors: Sequence[float] = (),
    *,
    scale_losses: bool,
):
    """Makes Adam for `variables`; with a weight decay above 0 it is AdamW (Loshchilov and Hutter, 2019).

    Decay is decoupled from the gradient and its clipping: each step first subtracts rate x decay x weight.

    Args:
        rate_factors: factor of each variable's learning rate (but not of its decay); empty: 1 for all.
        scale_losses: scale losses for models that compute in float16, whose gradients would underflow.
    """
    # The whole step is compiled or nothing; compiling Adam alone only costs time.
    optimizer = FusedAdam(peak, epsilon=1e-8, jit_compile=False, weight_decay=weight_decay or None)
    optimizer.rate_factors = tuple(rate_factors)
    optimizer.exclude_from_weight_decay([variable for variable in variables if not decays(variable)])
    if scale_losses:
        optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


def computes_in_float16(model: tf_keras.Model) -> bool:
    """Whether any layer computes in float16, whatever the current policy is."""
    return any(getattr(module, "compute_dtype", None) == "float16" for module in model.submodules)


def optimizer_variables(optimizer) -> list[tf.Variable]:
    """Returns all variables of an optimizer, including the loss scale, which Keras leaves out."""
    scale = getattr(optimizer, "_loss_scale", None)
    return [*optimizer.variables, *([] if scale is None else [scale.current_loss_scale, scale.counter])]


def decays(variable: tf.Variable) -> bool:
    """Whether weight decay applies to a variable: not to biases, nor to gains and offsets of layer norms.

    Most of these are vectors; the biases of GPT-2 and XLNet are not.
    """
    name = variable.name.split("/")[-1].split(":")[0]
    return variable.shape.rank > 1 and not name.endswith(("bias", "gamma", "beta"))
