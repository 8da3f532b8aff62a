"""Losses of what is said of tokens: the teacher's word on them, and those that stand there.

Axes: M positions that are asked about, V tokens.
"""

import tensorflow as tf

from xtremedistil.losses import label_cross_entropy, label_weights, logits_mse, soft_label_kl
from xtremedistil.objectives.matches import matches_objective
from xtremedistil.objectives.position_masks import TEACHER_PREFIX
from xtremedistil.pretraining.live_teacher import reading_outputs
from xtremedistil.pretraining.recipes import Learning
from xtremedistil.training.objectives import Objective, joined

WORDS, SOFT_LABELS, LOGITS = "words", "soft_labels", "logits"  # names of the terms
ASKED = "predicted_mask"  # of a batch: float32 [M], 0 for fillers


def learning_objective(learning: Learning) -> Objective:
    """All terms of a run."""
    return reading_outputs(joined(language_objective(learning), matches_objective(learning.matches)))


def language_objective(learning: Learning) -> Objective:
    """The terms on tokens that have a weight.

    - soft labels: T^2 x KL(teacher || student) (Sanh et al., 2019), in nats, mean over the positions asked about.
    - words: cross-entropy of the tokens that stand there, mean over those that were hidden (or come next).
    - logits: squared distance, summed over the vocabulary, mean over the positions asked about.
    """
    weights = {
        SOFT_LABELS: learning.soft_label_weight,
        WORDS: learning.word_weight,
        LOGITS: learning.logits_mse_weight,
    }
    weights = {name: weight for name, weight in weights.items() if weight}

    def values(outputs, batch):
        terms = {
            SOFT_LABELS: lambda: soft_label_kl(**_both(outputs, batch), temperature=learning.temperature),
            WORDS: lambda: label_cross_entropy(labels=batch["labels"], logits=outputs["logits"]),
            LOGITS: lambda: logits_mse(**_both(outputs, batch)) * outputs["logits"].shape[-1],
        }
        return {name: terms[name]() for name in weights}

    def counts(batch):
        asked = tf.reduce_sum(batch[ASKED])
        of_term = {SOFT_LABELS: asked, WORDS: tf.reduce_sum(label_weights(batch["labels"])), LOGITS: asked}
        return {name: of_term[name] for name in weights}

    return Objective(values, counts, weights)


def _both(outputs: dict, batch: dict) -> dict[str, tf.Tensor]:
    return {"teacher": batch[TEACHER_PREFIX + "logits"], "student": outputs["logits"], "mask": batch[ASKED]}
