"""The terms of a pre-training run as an objective, by the names that reports have for them."""

from types import SimpleNamespace

from xtremedistil.objectives.from_terms import terms_objective
from xtremedistil.objectives.matches import matches_objective
from xtremedistil.pretraining.live_teacher import reading_outputs
from xtremedistil.pretraining.recipes import predicts_tokens
from xtremedistil.tasks.problem_types import CLASSES
from xtremedistil.terms.counted import PREDICTED, Counted
from xtremedistil.terms.terms import Terms
from xtremedistil.training.objectives import Objective, joined, renamed

# Logits [M, V] of M predicted tokens, V in the vocabulary.
TOKEN_LOGITS = SimpleNamespace(logit_names=("logits",), by_position=True, problem_type=CLASSES)
NAMES = {"logits": "soft_labels", "labels": "words", "logits_logits_mse": "logits"}


def language_objective(terms: Terms) -> Objective:
    """All terms of a run; the teacher's outputs are among the model's.

    - soft_labels: T^2 x KL(teacher || student) (Sanh et al., 2019), in nats, mean over the predicted tokens.
    - words: cross-entropy with the tokens of the text, mean over the masked ones (or over the next tokens).
    - logits: squared distance, summed over the vocabulary, mean over the predicted tokens.
    """
    matches = matches_objective(terms.matches)
    if not predicts_tokens(terms):
        return reading_outputs(matches)
    of_tokens = terms_objective(terms, (), TOKEN_LOGITS, counted=Counted(logits=PREDICTED))
    return reading_outputs(joined(renamed(of_tokens, NAMES), matches))
