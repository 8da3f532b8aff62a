"""Distillation losses: pure functions of teacher and student tensors, masked, in float32.

Axes: B batch, S positions (tokens), H hidden size, A attention heads, L labels. Masks are 0/1; masked values enter
neither the sum nor the count, even if they are infinite. The mean over no values is 0. In losses that average over
positions, a mask may hold weights: sum(weight * loss) / sum(weight). No gradient flows into the teacher.

`LOSSES[name](teacher=..., student=..., mask=None, ...)` is a scalar. Losses are imported lazily, so that `specs.py`,
which describes each loss, can be used without TensorFlow.
"""

import importlib

_LOSSES = {
    "hidden_states": ("hidden_mse", "hidden_cosine", "pkd"),
    "layer_pairs": ("fsp", "nst"),
    "attention": (
        "attention_mse",
        "attention_mse_sum",
        "attention_ce",
        "attention_ce_mean",
        "attention_kl",
        "attention_squared_distance",
    ),
    "logits": ("soft_label_ce", "soft_label_kl", "soft_label_bce", "logits_mse", "logit_standardized_kl", "dist"),
    "batch_similarity": ("rkd", "spkd", "pkt", "cckd"),
    "relations": ("relation_kl",),
    "transport": ("layer_transport",),
}
_BESIDES = {
    "labels": ("label_bce", "label_cross_entropy", "label_mse", "label_weights", "span_cross_entropy", "span_weights"),
    "masking": ("masked_mean", "pair_mask"),
}
_HOME = {name: module for table in (_LOSSES, _BESIDES) for module, names in table.items() for name in names}
_CHECKED = {name for names in _LOSSES.values() for name in names}
__all__ = ["LOSSES", *_HOME]


def __getattr__(name: str):
    if name == "LOSSES":
        found = {name: __getattr__(name) for names in _LOSSES.values() for name in names}
    elif name in _HOME:
        found = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        if name in _CHECKED:
            found = importlib.import_module(f"{__name__}.border").checked(name, found)
    else:
        raise AttributeError(f"{__name__} has no {name}; it has {', '.join(__all__)}.")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
