"""Word embeddings of a student during training: fixed embeddings times a trained matrix."""

import numpy as np
import tensorflow as tf
import tf_keras


class MappedEmbedding(tf_keras.layers.Layer):
    """Word embeddings as a fixed table times a trained matrix; maps ids [B, S] to [B, S, W].

    If word embeddings were trained directly, only those of tokens in the transfer set would change, and all others
    would no longer fit the rest of the model. Through the matrix, all change together. `product` returns the word
    embeddings to deploy.

    Args:
        table: float32 [V, H], fixed. kernel: float32 [H, W], initial value of the trained matrix.
    """

    def __init__(self, table: np.ndarray, kernel: np.ndarray, name: str):
        super().__init__(name=name)
        # A variable, not a constant: it is too big for a graph.
        self.table = tf.Variable(table, trainable=False, name=f"{name}/table")
        self.kernel = tf.Variable(kernel, name=f"{name}/kernel")

    def call(self, input_ids):
        return tf.matmul(tf.gather(self.table, input_ids), self.kernel)

    def product(self) -> tf.Tensor:
        """Returns the word embeddings, float32 [V, W]."""
        return tf.matmul(self.table, self.kernel)
