"""Dropout that is a function of (seed, step, layer): nothing random has to be saved or restored."""

import tensorflow as tf


class SeededDropout:
    """Stands in for the random generator of a Keras dropout layer.

    Keras' own generators keep hidden counters, which no checkpoint of a functional model holds: a run that was stopped
    would draw other masks than one that was not.
    """

    _rng_type = "legacy_stateful"  # what Keras asks for when it writes a layer's configuration

    def __init__(self, seed: tf.Variable, index: int):
        self._seed = seed
        self._index = index

    def _maybe_init(self) -> None:
        """Keras calls this on build; there is nothing to make."""

    def dropout(self, inputs, rate, noise_shape=None):
        seed = tf.random.experimental.stateless_fold_in(self._seed, self._index)
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            seed = tf.random.experimental.stateless_fold_in(seed, replica.replica_id_in_sync_group)
        return tf.nn.experimental.stateless_dropout(inputs, rate, seed=seed, noise_shape=noise_shape)


def seed_dropout(model: tf.keras.Model, seed: tf.Variable) -> None:
    """Lets every dropout layer of `model` draw its masks from `seed`, int32 [2] = (seed of the fit, step)."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, tf.keras.layers.Dropout)]
    for index, layer in enumerate(layers):
        layer._random_generator = SeededDropout(seed, index)
