"""What a kind of task may be told besides its labels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KindSettings:
    """As flags, or a saved configuration, say.

    Fields:
        pairs: rows have two texts.
        pseudo_labels: of tags as the original made them; None: whoever has a list of labels sees whether it ends with
            them.
    """

    pairs: bool = False
    pseudo_labels: tuple[str, ...] | None = None
