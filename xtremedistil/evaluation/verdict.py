"""Says in a sentence what the scores of a finished run mean, with the likely cause and what to try."""

from dataclasses import dataclass

from xtremedistil.tasks import Task

# Of scores from 0 to 1.
NOTHING_LEARNT = 0.02  # above the commonest label
WEAK = 0.1  # share of the way from the commonest label to 1 that a teacher should have gone
WORSE = 0.01  # than trained on the labels only
FAR_BELOW = 0.1  # the teacher


@dataclass(frozen=True)
class Scores:
    """Scores of one metric, 0 to 1.

    Fields:
        commonest: of answering the commonest label everywhere. student: of what was trained.
        teacher, labels_only: of its teacher, and of the same student trained on the labels only; None if not scored.
    """

    commonest: float
    student: float
    teacher: float | None = None
    labels_only: float | None = None


def weak_teacher(teacher: float, commonest: float) -> str:
    """Returns a sentence on a teacher that a student can learn little from; empty if it is good enough."""
    if teacher >= commonest + WEAK * (1 - commonest):
        return ""
    return (
        f"The teacher scores {_points(teacher)} on dev, where the commonest label gets {_points(commonest)}: a student "
        "can learn little from it. Fine-tune it longer or at another rate (`teacher_epochs`, `teacher_learning_rate`), "
        "or check the labels."
    )


def verdict(scores: Scores) -> str:
    """Returns a sentence on a run that did not go well; empty if it did."""
    student = _points(scores.student)
    if scores.student <= scores.commonest + NOTHING_LEARNT:
        return (
            f"The model scores {student}, and the commonest label everywhere {_points(scores.commonest)}: it has "
            "learnt nothing. Likely the learning rate is too low or the epochs are too few; check the labels, too."
        )
    if scores.teacher is not None and weak_teacher(scores.teacher, scores.commonest):
        return (
            f"The teacher itself scores only {_points(scores.teacher)} (the commonest label "
            f"{_points(scores.commonest)}). Fine-tune it longer or at another rate before distilling again."
        )
    if scores.labels_only is not None and scores.student < scores.labels_only - WORSE:
        return (
            f"The student scores {student}, the same student trained on the labels only {_points(scores.labels_only)}: "
            "distillation did not help. Likely there is too little transfer text or too few updates; try more of both, "
            "or `recipe` best."
        )
    if scores.teacher is not None and scores.student < scores.teacher - FAR_BELOW:
        return (
            f"The student scores {student}, its teacher {_points(scores.teacher)}. Try more transfer text, more epochs "
            "on it (`distil_epochs`), `recipe` best, or a bigger student."
        )
    return ""


def commonest_score(task: Task, train: list, test: list) -> float:
    """Returns the score on `test` of answering the commonest label of `train` everywhere."""
    metrics = task.score(test, task.commonest_answers(train, test))
    return metrics[metrics["primary"]]


def _points(score: float) -> str:
    return f"{100 * score:.1f}"
