"""Distillation losses: pure functions of teacher and student tensors, masked, in float32.

Axes: B batch, S positions, H hidden, A attention heads, L labels. Masks are 0/1; what they leave out enters neither
the sum nor the count, whatever stands there. A loss over nothing is 0. Where a loss is a mean over positions, weights
are masks of other numbers: sum(weight * loss) / sum(weight). No gradient flows into the teacher.

`LOSSES[name](teacher=..., student=..., mask=None, ...)` is a scalar.
"""

from collections.abc import Callable

import tensorflow as tf

from xtremedistil.distillation.losses.attention import (
    attention_ce,
    attention_ce_mean,
    attention_kl,
    attention_mse,
    attention_mse_sum,
    attention_squared_distance,
)
from xtremedistil.distillation.losses.correlation import dist
from xtremedistil.distillation.losses.geometry import rkd
from xtremedistil.distillation.losses.gold_labels import (
    label_bce,
    label_cross_entropy,
    label_mse,
    label_weights,
    span_cross_entropy,
    span_weights,
)
from xtremedistil.distillation.losses.hidden import hidden_cosine, hidden_mse, pkd
from xtremedistil.distillation.losses.layer_pairs import fsp, nst
from xtremedistil.distillation.losses.masks import masked_mean, pair_mask
from xtremedistil.distillation.losses.relations import relation_kl
from xtremedistil.distillation.losses.similarities import cckd, pkt, spkd
from xtremedistil.distillation.losses.soft_labels import (
    logit_standardized_kl,
    logits_mse,
    soft_label_bce,
    soft_label_ce,
    soft_label_kl,
)
from xtremedistil.distillation.losses.transport import layer_transport

LOSSES: dict[str, Callable[..., tf.Tensor]] = {
    "hidden_mse": hidden_mse,
    "hidden_cosine": hidden_cosine,
    "pkd": pkd,
    "fsp": fsp,
    "nst": nst,
    "attention_mse": attention_mse,
    "attention_mse_sum": attention_mse_sum,
    "attention_ce": attention_ce,
    "attention_ce_mean": attention_ce_mean,
    "attention_kl": attention_kl,
    "soft_label_ce": soft_label_ce,
    "soft_label_kl": soft_label_kl,
    "soft_label_bce": soft_label_bce,
    "logits_mse": logits_mse,
    "logit_standardized_kl": logit_standardized_kl,
    "dist": dist,
    "rkd": rkd,
    "spkd": spkd,
    "pkt": pkt,
    "cckd": cckd,
    "relation_kl": relation_kl,
    "attention_squared_distance": attention_squared_distance,
    "layer_transport": layer_transport,
}

__all__ = [
    "LOSSES",
    "label_bce",
    "label_cross_entropy",
    "label_mse",
    "label_weights",
    "masked_mean",
    "pair_mask",
    "span_cross_entropy",
    "span_weights",
    *LOSSES,
]
