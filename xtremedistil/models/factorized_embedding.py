"""Word embeddings of a student in training: a fixed table times a trained matrix."""

import numpy as np
import tensorflow as tf
import tf_keras


class MappedEmbedding(tf_keras.layers.Layer):
    """Word embeddings as a fixed table times a trained matrix: [B, S] ids in, [B, S, W] out.

    A student that trains its table freely moves the words of its transfer set and leaves all others where they were,
    strangers to the rest of the network. Here every word moves with them. `product` gives the plain table to deploy.

    Args:
        table: float32 [V, H], fixed. kernel: float32 [H, W], first value of what is trained.
    """

    def __init__(self, table: np.ndarray, kernel: np.ndarray, name: str):
        super().__init__(name=name)
        # A variable, not a constant: it is too big for a graph.
        self.table = tf.Variable(table, trainable=False, name=f"{name}/table")
        self.kernel = tf.Variable(kernel, name=f"{name}/kernel")

    def call(self, input_ids):
        return tf.matmul(tf.gather(self.table, input_ids), self.kernel)

    def product(self) -> tf.Tensor:
        """float32 [V, W]"""
        return tf.matmul(self.table, self.kernel)
