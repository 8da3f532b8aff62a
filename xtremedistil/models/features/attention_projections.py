"""Paths of the sub-layers that compute queries, keys and values, by family."""

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import Family

_BERT = tuple(f"encoder/layer_._{{}}/attention/self/{part}" for part in ("query", "key", "value"))

# Sub-layers that compute queries, keys and values of layer {}; one path: a sub-layer computes all three, concatenated.
PROJECTION_PATHS = {
    "bert": _BERT,
    "electra": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "distilbert": tuple(f"transformer/layer_._{{}}/attention/{part}_lin" for part in "qkv"),
    "xlm": tuple(f"attentions_._{{}}/{part}_lin" for part in "qkv"),
    "ctrl": tuple(f"h_._{{}}/multi_head_attention/W{part}" for part in "qkv"),
    "openai-gpt": ("h_._{}/attn/c_attn",),
    "gpt2": ("h_._{}/attn/c_attn",),
}


def projection_paths(family: Family, layer: int) -> list[str]:
    """Returns the paths of the queries, keys and values of a layer; one path if one sub-layer computes all three.

    Raises:
        InputError: the family has no such sub-layers.
    """
    if family.model_type not in PROJECTION_PATHS:
        raise InputError(
            f"{family.class_name} has no separate layers for queries, keys and values, so neither these nor "
            f"attention_scores can be matched. Families that have them: {', '.join(PROJECTION_PATHS)}."
        )
    return [path.format(layer) for path in PROJECTION_PATHS[family.model_type]]
