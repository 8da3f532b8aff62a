"""Names of an encoder's outputs, such as `hidden_states_3` or `queries_0`; all others are paths of sub-layers."""

from typing import NamedTuple

HIDDEN_STATES, ATTENTIONS, ATTENTION_SCORES = "hidden_states", "attentions", "attention_scores"
PROJECTIONS = ("queries", "keys", "values")
KINDS = (HIDDEN_STATES, ATTENTIONS, *PROJECTIONS, ATTENTION_SCORES)
LOGITS = ("logits", "start_logits", "end_logits")  # of models with a head
MAPS = (ATTENTIONS, ATTENTION_SCORES)


class FeatureName(NamedTuple):
    """A parsed name. `kind`: one of KINDS. `layer`: from 0; for hidden states, 0 are the embeddings."""

    kind: str
    layer: int

    def __str__(self) -> str:
        return f"{self.kind}_{self.layer}"


def parse_feature_name(name: str) -> FeatureName | None:
    """Parses kind and layer of a name; None if it is a path."""
    kind, _, layer = name.rpartition("_")
    return FeatureName(kind, int(layer)) if kind in KINDS and layer.isdecimal() else None


def is_map(name: str) -> bool:
    """Whether an output is an attention map, [B, A, S, S]."""
    parsed = parse_feature_name(name)
    return parsed is not None and parsed.kind in MAPS
