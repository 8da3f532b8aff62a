"""Flags of a pre-training run as terms: weights of soft labels, masked tokens and matches.

- distilbert: soft labels, masked tokens, cosine of the last hidden states (Sanh et al., 2019).
- minilm: attention maps and relations of values, last layer with last layer (Wang et al., 2020).
- minilmv2: relations of queries, keys and values, any number of relation heads (Wang et al., 2021).
- words: masked tokens alone, without a teacher.
"""

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.shapes import EncoderShape
from xtremedistil.pretraining.config import PretrainConfig
from xtremedistil.terms.layer_map import checked_layers
from xtremedistil.terms.match import Match
from xtremedistil.terms.match_parsing import read_matches
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.terms.terms import Terms

DISTILBERT, MINILM, MINILM_V2, WORDS = "distilbert", "minilm", "minilmv2", "words"

# As in DistilBERT's README: soft labels 5, masked tokens 2, cosine 1.
WEIGHTS = {
    DISTILBERT: {"soft_label": 5.0, "mlm": 2.0, "logits_mse": 0.0, "cosine": 1.0, "relation": 0.0},
    MINILM: {"soft_label": 0.0, "mlm": 0.0, "logits_mse": 0.0, "cosine": 0.0, "relation": 1.0},
    MINILM_V2: {"soft_label": 0.0, "mlm": 0.0, "logits_mse": 0.0, "cosine": 0.0, "relation": 1.0},
    WORDS: {"soft_label": 0.0, "mlm": 1.0, "logits_mse": 0.0, "cosine": 0.0, "relation": 0.0},
}

RELATIONS = ("queries", "keys", "values")
BY_ROW = {"mean_over": "rows"}  # the papers' 1 / |x| for each sequence


def configured_weights(config: PretrainConfig) -> dict[str, float]:
    """Weights of all terms, by what their flags begin with: the recipe's, or what flags give in their place."""
    return {
        name: weight if (given := getattr(config, f"{name}_weight")) is None else given
        for name, weight in WEIGHTS[config.recipe].items()
    }


def uses_teacher_logits(config: PretrainConfig) -> bool:
    """Whether a term reads the teacher's logits, so that the teacher needs a head."""
    weights = configured_weights(config)
    return bool(weights["soft_label"] or weights["logits_mse"])


def predicts_any(config: PretrainConfig) -> bool:
    """Whether a term reads the student's logits: tokens are masked, or the next ones predicted, only then."""
    return uses_teacher_logits(config) or bool(configured_weights(config)["mlm"])


def predicts_tokens(terms: Terms) -> bool:
    """The same of a run's terms."""
    return terms.uses_logits or terms.hard_label_weight > 0


def needs_teacher(terms: Terms) -> bool:
    """Whether a term reads anything of the teacher."""
    return terms.uses_logits or bool(terms.matches)


def recipe_matches(config: PretrainConfig, teacher: EncoderShape, student: EncoderShape) -> list[Match]:
    """The recipe's own matches; those that somebody gives follow them."""
    weights, matches = configured_weights(config), []
    last = {"teacher": teacher.num_hidden_layers, "student": student.num_hidden_layers}
    if weights["cosine"]:
        matches.append(Match("hidden_states", **last, loss="hidden_cosine", weight=weights["cosine"]))
    if weights["relation"]:
        matches += _relations(config, teacher, student, weights["relation"])
    return matches


def configured_terms(config: PretrainConfig, teacher: EncoderShape, student: EncoderShape) -> Terms:
    """The recipe's terms, with the weights that flags give in place of its own.

    Raises:
        ValueError: a match cannot be, or all weights are 0. InputError: a match cannot be read, names a layer that a
            model has not, or is the recipe's, too.
    """
    weights, matches = configured_weights(config), recipe_matches(config, teacher, student)
    own = [match.name for match in matches]
    matches += read_matches(config.match)
    if twice := [match.name for match in matches[len(own) :] if match.name in own]:
        raise InputError(
            f"`match`: {', '.join(twice)} is a term of `recipe` {config.recipe} already. Leave it away, or switch the "
            "recipe's off: `cosine_weight` 0, `relation_weight` 0."
        )
    checked_layers(matches, teacher.num_hidden_layers, student.num_hidden_layers)
    if not (matches or predicts_any(config)):
        raise InputError("All weights are 0: there is nothing to learn. Give one of them, such as `mlm_weight` 1")
    distance = SoftLabels("logits_mse", weight=weights["logits_mse"], options={"sum_over_labels": True})
    return Terms(
        SoftLabels("soft_label_kl", config.temperature, weight=weights["soft_label"]),
        tuple(matches),
        weights["mlm"],
        further_soft_labels=(distance,) if weights["logits_mse"] else (),
    )


def _relations(config: PretrainConfig, teacher: EncoderShape, student: EncoderShape, weight: float) -> list[Match]:
    layer = config.relation_teacher_layer
    layers = {
        "teacher": teacher.num_hidden_layers - 1 if layer is None else layer,
        "student": student.num_hidden_layers - 1,
    }
    if config.recipe == MINILM:
        values = BY_ROW | {"relation_heads": teacher.num_attention_heads}
        return [
            Match("attention_scores", **layers, loss="attention_kl", weight=weight, options=BY_ROW),
            Match("values", **layers, loss="relation_kl", weight=weight, options=values),
        ]
    options = BY_ROW | {"relation_heads": config.relation_heads}
    return [Match(kind, **layers, loss="relation_kl", weight=weight, options=options) for kind in RELATIONS]
