"""Dropout that depends only on (seed, step, layer), so that no random state has to be saved."""

import tensorflow as tf


class SeededDropout:
    """Replaces the random generator of a Keras dropout layer.

    Keras' own generators keep counters that checkpoints do not hold, so a resumed run would draw other masks than an
    uninterrupted one.
    """

    _rng_type = "legacy_stateful"  # Keras reads it when it writes a layer's configuration

    def __init__(self, seed: tf.Variable, index: int):
        self._seed = seed
        self._index = index

    def _maybe_init(self) -> None:
        """Does nothing; Keras calls it on build."""

    def dropout(self, inputs, rate, noise_shape=None):
        seed = tf.random.experimental.stateless_fold_in(self._seed, self._index)
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            seed = tf.random.experimental.stateless_fold_in(seed, replica.replica_id_in_sync_group)
        return tf.nn.experimental.stateless_dropout(inputs, rate, seed=seed, noise_shape=noise_shape)


def seed_dropout(model: tf.keras.Model, seed: tf.Variable) -> None:
    """Makes every dropout layer of `model` draw its masks from `seed`, int32 [2] = (seed of the fit, step)."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, tf.keras.layers.Dropout)]
    for index, layer in enumerate(layers):
        layer._random_generator = SeededDropout(seed, index)
