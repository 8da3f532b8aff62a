"""What flags, or a saved configuration, say of a task's kind."""

from dataclasses import dataclass

from xtremedistil.arguments import is_whole, shown

COMMA = ","


def require_labels(labels) -> None:
    """Raises ValueError if labels are no list of texts, or of numbers, or one is there twice."""
    listed = isinstance(labels, (list, tuple)) and all(isinstance(one, str) or is_whole(one) for one in labels)
    if not listed or len({str(one) for one in labels}) < len(labels):
        raise ValueError(f"labels are {shown(labels)}; a list of names is expected, each of them once.")


@dataclass(frozen=True)
class KindSettings:
    """By the names of the flags and of the saved keys.

    Fields:
        do_NER: tag words. do_pairwise: rows have two texts.
        task_kind: name of a kind; None: tagging with `do_NER`, else one label for each row.
        label_separator: between the labels of a row that may have several.
        pseudo_labels: of tags as the original made them; None: whoever has a list of labels sees whether it ends with
            them.
    """

    do_NER: bool = False
    do_pairwise: bool = False
    task_kind: str | None = None
    label_separator: str = COMMA
    pseudo_labels: tuple[str, ...] | None = None

    @classmethod
    def of(cls, config, role: str = "") -> "KindSettings":
        """Out of a command's dataclass; `role` is what the names of its flags begin with: "source_"."""
        names = ("do_NER", "do_pairwise", "task_kind", "label_separator")
        return cls(**{name: getattr(config, role + name) for name in names})


TEXTS = KindSettings()
