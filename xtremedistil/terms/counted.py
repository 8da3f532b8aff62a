"""Positions at which terms count, as data; `objectives.position_masks` makes the masks."""

from dataclasses import dataclass

# A term counts rows, positions, or (for logits of masked tokens) entries of the flattened batch.
ROWS, PREDICTED = "rows", "predicted"
REAL, ALL, FIRST, WORDS = "real", "all", "first", "words"  # positions


@dataclass(frozen=True)
class Counted:
    """Positions at which terms count, by what they compare.

    Fields:
        hidden_states, attention_maps: "real" (without padding), "all" (padding too) or "first".
        logits: for models with logits per token: "real", "all", "words" (the token scored for each word) or
            "predicted" (masked tokens).
    """

    hidden_states: str = REAL
    attention_maps: str = REAL
    logits: str = REAL
