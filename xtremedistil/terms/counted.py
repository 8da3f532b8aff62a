"""Positions at which terms count, as data; `objectives.position_masks` makes masks of them."""

from dataclasses import dataclass

# What a term counts: rows, positions of them, or (logits of masked tokens) entries of the flattened batch.
ROWS, PREDICTED = "rows", "predicted"
REAL, ALL, FIRST, WORDS = "real", "all", "first", "words"  # positions


@dataclass(frozen=True)
class Counted:
    """Positions at which terms count, by what they compare.

    Fields:
        hidden_states, attention_maps: "real", without padding; "all", padding too; "first".
        logits: of models with logits for each position: "real", "all", "words" (positions that answer for a word),
            "predicted" (masked tokens).
    """

    hidden_states: str = REAL
    attention_maps: str = REAL
    logits: str = REAL
