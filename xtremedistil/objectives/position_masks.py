"""Makes masks of the rows and tokens of a batch at which terms count."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xtremedistil.data.features import NO_WORD, Features
from xtremedistil.data.padding import Arrays, positions
from xtremedistil.terms.counted import ALL, PREDICTED, REAL, ROWS, WORDS

TEACHER_PREFIX = "teacher_"  # of the names of teacher outputs in a batch
WORD_MASK = "answers_for_word"  # 1 at the token that is scored for its word
PREDICTED_MASK = "predicted_mask"  # in masked language modelling: float32 [M], 0 for fillers


@dataclass(frozen=True)
class WordMask:
    """Adds to batches an array with 1 at the tokens that are scored for their words."""

    features: Features

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        index, inside = positions(self.features, rows, width)
        answering = inside & (self.features.word_ids[index] != NO_WORD)
        return {WORD_MASK: answering.astype(np.int32)}  # batches leave all axes of integers open


def target_prefix(teacher_number: int) -> str:
    """Returns the prefix of the names of one teacher's outputs in a batch."""
    return f"teacher{teacher_number}_" if teacher_number else TEACHER_PREFIX


def aligned_name(prefix: str) -> str:
    """Returns the name, in a batch, of the mask of tokens for which a teacher with another tokenizer has outputs."""
    return f"{prefix}aligned"


def loss_mask(batch, counted: str) -> tf.Tensor:
    """Returns a mask, 1 where a loss counts: float32 [B] for "rows", [M] for "predicted", else [B, S]."""
    if counted == ROWS:
        return batch["row_mask"]
    if counted == PREDICTED:
        return batch[PREDICTED_MASK]
    return tf.cast(_positions(batch, counted), tf.float32) * batch["row_mask"][:, None]


def _positions(batch, counted: str) -> tf.Tensor:
    attention_mask = batch["attention_mask"]
    if counted == WORDS:
        return batch[WORD_MASK]
    if counted == REAL:
        return attention_mask
    if counted == ALL:
        return tf.ones_like(attention_mask)
    return tf.one_hot(tf.zeros_like(attention_mask[:, 0]), tf.shape(attention_mask)[1], dtype=tf.int32)
