"""What pre-training runs learn, out of flags: without TensorFlow."""

import pytest

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.shapes import EncoderShape, resized
from xtremedistil.pretraining.config import PretrainConfig
from xtremedistil.pretraining.recipes import configured_terms, needs_teacher, predicts_tokens

TEACHER = EncoderShape(768, 12, 12, 30522, 512, 3072, 768)
STUDENT = EncoderShape(384, 6, 12, 30522, 512, 1536, 384)


def terms_of(**flags):
    config = PretrainConfig(pt_teacher_checkpoint="t", corpus=("c",), model_dir="m", **flags)
    return configured_terms(config, TEACHER, STUDENT)


def outline(found):
    return [(match.name, match.loss, match.weight, dict(match.options)) for match in found.matches]


def test_distilbert_learns_soft_labels_words_and_the_last_states_direction():
    found = terms_of()
    assert (found.soft_labels.weight, found.hard_label_weight, found.soft_labels.temperature) == (5, 2, 2)
    assert found.further_soft_labels == ()
    (match,) = found.matches
    assert (match.feature, match.teacher, match.student, match.loss, match.weight) == (
        "hidden_states", 12, 6, "hidden_cosine", 1)  # fmt: skip
    assert found.uses_logits and predicts_tokens(found) and needs_teacher(found)


def test_minilm_learns_maps_and_values_of_the_last_layers():
    found = terms_of(recipe="minilm")
    by_row = {"mean_over": "rows"}
    assert [
        (match.feature, match.teacher, match.student, match.loss, dict(match.options)) for match in found.matches
    ] == [
        ("attention_scores", 11, 5, "attention_kl", by_row),
        ("values", 11, 5, "relation_kl", by_row | {"relation_heads": 12}),
    ]
    assert not predicts_tokens(found) and not found.uses_logits and needs_teacher(found)


def test_minilm_v2_learns_three_relations_from_any_layer():
    found = terms_of(recipe="minilmv2", relation_teacher_layer=8, relation_heads=48, relation_weight=2.0)
    assert [(m.feature, m.teacher, m.student, m.weight, m.options["relation_heads"]) for m in found.matches] == [
        (kind, 8, 5, 2.0, 48) for kind in ("queries", "keys", "values")
    ]


def test_words_alone_need_no_teacher():
    found = terms_of(recipe="words")
    assert predicts_tokens(found) and not needs_teacher(found) and found.matches == ()


def test_flags_take_the_place_of_the_recipes_weights_and_matches_are_added():
    entry = "feature=hidden_states,teacher=6,student=3,loss=hidden_mse,weight=0.5"
    found = terms_of(soft_label_weight=0.0, cosine_weight=0.0, match=(entry,))
    assert (found.soft_labels.weight, found.hard_label_weight) == (0.0, 2.0)
    assert [(match.teacher, match.student, match.weight) for match in found.matches] == [(6, 3, 0.5)]
    assert not found.uses_logits


def test_match_that_the_recipe_has_already_is_refused():
    """Terms are told by name, which leaves options out: the recipe's would be gone in silence."""
    entry = "feature=hidden_states,teacher=12,student=6,loss=hidden_cosine,weight=0.5"
    with pytest.raises(InputError, match="hidden_states_hidden_cosine_12_6 is a term of `recipe` distilbert already"):
        terms_of(match=(entry,))
    assert [match.weight for match in terms_of(match=(entry,), cosine_weight=0.0).matches] == [0.5]


def test_layer_that_the_teacher_has_not_is_refused():
    with pytest.raises(ValueError, match="the teacher has no queries 12; with 12 layers they are 0 to 11"):
        terms_of(recipe="minilmv2", relation_teacher_layer=12)


@pytest.mark.parametrize(
    "config, expected",
    [
        ({"hidden_size": 768, "vocab_size": 9}, {"hidden_size": 384, "vocab_size": 9}),
        ({"n_embd": 768, "n_inner": None, "n_layer": 12}, {"n_embd": 384, "n_inner": 1536, "n_layer": 6}),
        ({"dim": 768, "n_heads": 6, "embedding_size": 128}, {"dim": 384, "n_heads": 12, "embedding_size": 384}),
    ],
)
def test_sizes_go_by_the_names_of_a_family(config, expected):
    assert resized(config, STUDENT) == expected
