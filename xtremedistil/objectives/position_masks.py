"""Which positions a teacher has something to say of, where it speaks of words alone."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xtremedistil.data.features import NO_WORD, Features
from xtremedistil.data.padding import Arrays, positions

WORDS_MASK = "answers_for_word"  # in a batch


@dataclass(frozen=True)
class WordMask:
    """1 where a position of tagged rows answers for a word; read into batches as targets are."""

    features: Features

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        index, inside = positions(self.features, rows, width)
        answering = inside & (self.features.word_ids[index] != NO_WORD)
        return {WORDS_MASK: answering.astype(np.int32)}  # of integers all axes are open


PREFIX = "teacher_"  # of targets in a batch


def target_prefix(teacher_number: int) -> str:
    """Of one teacher's targets in a batch, where there are several."""
    return f"teacher{teacher_number}_" if teacher_number else PREFIX


ROWS = "rows"  # what a loss counts: rows, or positions of them

REAL, ALL, FIRST, WORDS = "real", "all", "first", "words"


def loss_mask(batch, counted: str) -> tf.Tensor:
    """1 where a loss counts: float32 [B] for rows; [B, S] for real positions, all of real rows, their first, or those
    that answer for a word."""
    if counted == ROWS:
        return batch["row_mask"]
    if counted == WORDS:
        return tf.cast(batch[WORDS_MASK], tf.float32) * batch["row_mask"][:, None]
    attention_mask = batch["attention_mask"]
    if counted == REAL:
        mask = attention_mask
    elif counted == ALL:
        mask = tf.ones_like(attention_mask)
    else:
        mask = tf.one_hot(tf.zeros_like(attention_mask[:, 0]), tf.shape(attention_mask)[1], dtype=tf.int32)
    return tf.cast(mask, tf.float32) * batch["row_mask"][:, None]
