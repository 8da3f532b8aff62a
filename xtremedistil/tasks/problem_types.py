"""What a model's logits say of a row, by the names of Hugging Face's `problem_type`."""

CLASSES = "single_label_classification"  # one of several labels; of positions too
SEVERAL_LABELS = "multi_label_classification"  # each label holds or not
SCORES = "regression"
SPAN = "question_answering"  # where a span starts and ends
THRESHOLD = 0.5  # probability from which on a label holds, where several may
PROBLEM_TYPES = (CLASSES, SEVERAL_LABELS, SCORES)  # that may be said; spans are known by their names

# The loss of gold labels, in words.
LABEL_LOSSES = {
    CLASSES: "cross-entropy",
    SEVERAL_LABELS: "binary cross-entropy",
    SCORES: "squared error",
    SPAN: "cross-entropy",
}
