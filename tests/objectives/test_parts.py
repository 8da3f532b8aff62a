"""Terms put together: their values, what they count, their weights over time; projections; rows of several parts."""

import dataclasses
import inspect
import types

import numpy as np
import pytest

import xtremedistil  # noqa: F401 - chooses legacy Keras
from tests.model_fixtures import task_logits, toy_features
from xtremedistil.data.features import Features
from xtremedistil.distillation.data.joined_rows import joined_targets
from xtremedistil.losses.specs import LOSS_KINDS
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import COMBINATIONS, SoftLabels, parse_temperature_schedule

tf = pytest.importorskip("tensorflow")
tf_keras = pytest.importorskip("tf_keras")

from xtremedistil.losses import LOSSES  # noqa: E402
from xtremedistil.models.projections import matched_tensors  # noqa: E402
from xtremedistil.objectives.from_terms import LABELS_ALONE, terms_objective  # noqa: E402
from xtremedistil.objectives.matches import matches_objective  # noqa: E402
from xtremedistil.objectives.soft_labels import soft_labels_objective  # noqa: E402
from xtremedistil.terms.terms import Terms  # noqa: E402
from xtremedistil.terms.textbrewer import textbrewer_match  # noqa: E402
from xtremedistil.training.learning_rate import LearningRate  # noqa: E402
from xtremedistil.training.objectives import Objective  # noqa: E402
from xtremedistil.training.trainer import Recipe, Trainer  # noqa: E402

MASK = [[1, 1, 0], [1, 0, 0]]


def test_kinds_are_of_the_losses_that_exist():
    assert set(LOSS_KINDS) == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_options_of_a_kind_are_the_losses_arguments(name):
    arguments = set(inspect.signature(LOSSES[name]).parameters)
    assert set(LOSS_KINDS[name].options) == arguments - {"teacher", "student", "mask"}


def normal(*shape, seed=0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).standard_normal(shape), tf.float32)


def batch_of(teacher: dict, **more) -> dict:
    batch = {f"teacher_{name}": value for name, value in teacher.items()}
    return batch | {"attention_mask": tf.constant(MASK), "row_mask": tf.ones([2])} | more


# Values, counts and weights


def test_terms_are_the_losses_at_real_positions_and_know_what_they_are_means_over():
    state, other = normal(2, 3, 4), normal(2, 3, 4, seed=1)
    matches = [
        Match("hidden_states", 2, 1, "hidden_mse", 3.0),
        Match("hidden_states", 2, 1, "nst", 0.5),
        Match("hidden_states", 2, 1, "pkd"),
    ]
    outputs = {name: other for match in matches for name in match.outputs}
    terms = matches_objective(matches)(outputs, batch_of({"hidden_states_2": state}))
    mask = tf.constant(MASK, tf.float32)
    expected = [
        (LOSSES["hidden_mse"](teacher=state, student=other, mask=mask), 3, 3.0),
        (LOSSES["nst"](teacher=(state, state), student=(other, other), mask=mask), 5, 0.5),  # 2 x 2 + 1 x 1 pairs
        (LOSSES["pkd"](teacher=state, student=other, mask=mask), 2, 1.0),
    ]
    found = [(float(term.value), float(term.count), term.weight) for term in terms.values()]
    assert found == [(pytest.approx(float(value)), count, weight) for value, count, weight in expected]


def test_relations_may_count_rows_in_place_of_positions():
    values = {"values_1": normal(2, 3, 4)}
    for mean_over, count in (("positions", 3), ("rows", 2)):
        match = Match("values", 1, 1, "relation_kl", options={"relation_heads": 2, "mean_over": mean_over})
        (term,) = matches_objective([match])({match.name: normal(2, 3, 4, seed=1)}, batch_of(values)).values()
        assert float(term.count) == count


@pytest.mark.parametrize(("feature", "from_logits"), [("attentions", False), ("attention_scores", True)])
def test_attention_losses_are_told_what_maps_are(feature, from_logits):
    teacher, student = (tf.nn.softmax(normal(2, 2, 3, 3, seed=seed)) for seed in (0, 1))
    match = Match(feature, 0, 0, "attention_ce")
    (term,) = matches_objective([match])({match.name: student}, batch_of({f"{feature}_0": teacher})).values()
    mask = tf.constant(MASK, tf.float32)
    expected = LOSSES["attention_ce"](teacher=teacher, student=student, mask=mask, from_logits=from_logits)
    assert float(term.value) == pytest.approx(float(expected))


@pytest.mark.parametrize("loss", ["attention_ce", "attention_ce_mean", "attention_mse", "attention_mse_sum"])
def test_attention_of_textbrewer_does_not_see_padded_keys(loss):
    """Its scores come with the mask added; what stands there of ours is a product of anything."""
    entry = {"layer_T": 0, "layer_S": 0, "feature": "attention", "loss": loss, "weight": 1}
    match = textbrewer_match(entry)
    keys = tf.constant(MASK)[:, None, None, :] > 0
    maps = normal(2, 2, 3, 3), normal(2, 2, 3, 3, seed=1)

    def value(padding: float, **options) -> float:
        teacher, student = (tf.where(keys, one, padding) for one in maps)
        if not options:
            batch = batch_of({"attention_scores_0": teacher})
            return float(next(iter(matches_objective([match])({match.name: student}, batch).values())).value)
        return float(LOSSES[loss](teacher=teacher, student=student, mask=tf.constant(MASK, tf.float32), **options))

    assert match.options == {"compat": True}
    found = [value(padding) for padding in (0.0, 7.0)]
    assert found == [pytest.approx(value(-10000.0, compat=True), rel=1e-5)] * 2


@pytest.mark.parametrize("combine", COMBINATIONS)
@pytest.mark.parametrize("loss", ["soft_label_ce", "soft_label_kl"])
def test_two_equal_teachers_of_half_the_weight_are_one(loss, combine):
    """And two unequal ones are none of the two."""
    logits, other = normal(2, 3, 5), normal(2, 3, 5, seed=2)
    outputs, soft_labels = {"logits": normal(2, 3, 5, seed=1)}, SoftLabels(loss, temperature=3.0)

    def value(second: tf.Tensor, **teachers) -> float:
        batch = batch_of({"logits": logits}, teacher1_logits=second)
        (term,) = soft_labels_objective(lambda batch: tf.constant(MASK), soft_labels, **teachers)(
            outputs, batch
        ).values()
        return float(term.value)

    both = {"teachers": [0, 1], "weights": [0.5, 0.5], "combine": combine}
    assert value(logits, **both) == pytest.approx(value(logits), rel=1e-5)
    assert value(other, **both) != pytest.approx(value(logits), rel=1e-2)


def test_joined_terms_sum_up_to_the_loss_of_a_step():
    """3 x hidden + 0.5 x soft labels at temperature 2 + 2 x gold labels, each a mean over its own positions."""
    state, logits, labels = normal(2, 3, 4), normal(2, 3, 5, seed=1), tf.constant([[1, 0, -100], [-100, -100, -100]])
    teacher = {"hidden_states_2": normal(2, 3, 4, seed=2), "logits": normal(2, 3, 5, seed=3)}
    match = Match("hidden_states", 2, 1, weight=3.0)
    soft = SoftLabels("soft_label_kl", temperature=2.0, weight=0.5)
    objective = terms_objective(Terms(soft, hard_label_weight=2.0), [match], task_logits(by_position=True))
    terms = objective({match.name: state, "logits": logits}, batch_of(teacher, labels=labels))
    mask = tf.constant(MASK, tf.float32)
    gold = -tf.nn.log_softmax(logits).numpy()
    expected = (
        3.0 * LOSSES["hidden_mse"](teacher=teacher["hidden_states_2"], student=state, mask=mask)
        + 0.5 * LOSSES["soft_label_kl"](teacher=teacher["logits"], student=logits, mask=mask, temperature=2.0)
        + 2.0 * (gold[0, 0, 1] + gold[0, 1, 0]) / 2
    )
    assert float(sum(term.weight * term.value for term in terms.values())) == pytest.approx(float(expected), rel=1e-5)
    assert [float(term.count) for term in terms.values()] == [3, 3, 2]


def test_probability_shift_and_temperatures_by_position_reach_the_loss():
    teacher, student = tf.constant([[3.0, 1.0, 2.0], [0.0, 4.0, 1.0]]), normal(2, 3)
    soft = SoftLabels(
        "soft_label_ce", temperature=4.0, temperature_of=parse_temperature_schedule("cwsm:0.5"), probability_shift=True
    )
    batch = batch_of({"logits": teacher}, labels=tf.constant([1, -100]))
    objective = terms_objective(Terms(soft), (), task_logits(by_position=False))
    (term,) = objective({"logits": student}, batch).values()
    shifted = tf.constant([[1.0, 3.0, 2.0], [0.0, 4.0, 1.0]])
    temperatures = soft.temperature_of(teacher=shifted, student=student, temperature=4.0, mask=tf.ones([2]))
    assert float(tf.reduce_max(temperatures) - tf.reduce_min(temperatures)) > 1e-3
    expected = LOSSES["soft_label_ce"](teacher=shifted, student=student, temperature=temperatures)
    assert float(term.value) == pytest.approx(float(expected))
    (bare,) = objective({"logits": student}, batch_of({"logits": teacher})).values()
    assert float(bare.value) != pytest.approx(float(term.value)), "without labels nothing is shifted"


def test_weight_follows_its_schedule_times_the_base_and_stays_at_the_base_without_progress():
    match = Match("hidden_states", 2, 1, weight=5.0, weight_schedule="linear_decay")
    outputs, batch = {match.name: normal(2, 3, 4)}, batch_of({"hidden_states_2": normal(2, 3, 4)})
    objective = matches_objective([match])
    assert float(objective(outputs, batch, tf.constant(0.2))[match.name].weight) == pytest.approx(4.0)
    assert objective(outputs, batch)[match.name].weight == 5.0


def test_trainer_weighs_terms_by_the_share_of_updates_done():
    """The gradient of weight x variable is the weight, 2 x (1 - progress)."""
    inputs = tf_keras.Input((1,), name="input_ids")
    layer = tf_keras.layers.Dense(1, use_bias=False)
    model = tf_keras.Model({"input_ids": inputs}, {"out": layer(inputs)})
    objective = Objective(
        lambda outputs, batch: {"term": tf.reduce_mean(outputs["out"])},
        lambda batch: {"term": tf.constant(1.0)},
        {"term": 2.0},
        {"term": lambda progress: 1 - progress},
    )
    recipe = Recipe(LearningRate(1.0, 1, 1, 0.0, "constant"), 1, 0.0, 1)
    trainer = Trainer(model, layer.weights, objective, tf.distribute.get_strategy(), recipe)
    value = float(layer.kernel.numpy()[0, 0])
    for progress, expected in ((0.0, 2 * value), (0.75, 0.5 * value)):
        layer.kernel.assign([[value]])
        trainer.reach(progress)
        losses = trainer.step({"input_ids": tf.ones([1, 1])}, 0, 0.0)
        assert float(losses["loss"]) == pytest.approx(expected)
        assert float(losses["term"]) == pytest.approx(value)


@pytest.mark.parametrize("combine", ["logits", "probabilities", "losses"])
def test_teachers_of_unequal_weight_are_the_formula_in_float64(combine):
    """Weights 3 and 1: shares 0.75 and 0.25."""
    teachers, student = [normal(2, 4, seed=seed) for seed in (1, 2)], normal(2, 4, seed=3)
    batch = {"teacher_logits": teachers[0], "teacher1_logits": teachers[1], "row_mask": tf.ones([2])}
    soft_labels = SoftLabels("soft_label_ce", temperature=3.0)
    objective = soft_labels_objective(
        lambda batch: batch["row_mask"], soft_labels, teachers=(0, 1), weights=(3, 1), combine=combine
    )
    shares = [np.exp(logits.numpy().astype("float64") / 3) for logits in (*teachers, student)]
    one, other, own = (share / share.sum(-1, keepdims=True) for share in shares)
    if combine == "logits":
        mean = np.exp((0.75 * teachers[0].numpy() + 0.25 * teachers[1].numpy()).astype("float64") / 3)
        target = mean / mean.sum(-1, keepdims=True)
    else:  # cross-entropy is linear in its target
        target = 0.75 * one + 0.25 * other
    expected = 9 * np.mean(-(target * np.log(own)).sum(-1))
    assert float(objective({"logits": student}, batch)["logits"].value) == pytest.approx(expected, rel=1e-5)


# The student's side


def states(*widths: int) -> dict:
    return {f"hidden_states_{i}": tf_keras.Input((None, width)) for i, width in enumerate(widths)}


def test_projection_serves_both_layers_of_a_pair_and_is_made_as_asked():
    match = Match("hidden_states", (1, 2), (0, 1), "fsp", projection="tanh")
    outputs, (layer,) = matched_tensors([match], states(3, 3), teacher_width=lambda match: 5)
    assert [tuple(outputs[name].shape) for name in match.outputs] == [(None, None, 5)] * 2
    assert layer.activation is tf_keras.activations.tanh
    assert not layer.bias.numpy().any()
    assert 0 < np.abs(layer.kernel.numpy()).max() < 0.1  # deviation 0.02


@pytest.mark.parametrize("projection", ["auto", "linear", "relu"])
def test_projections_begin_as_new_weights_of_bert_do_unless_they_shall_be_keras_own(projection):
    match, features = Match("hidden_states", 1, 1, projection=projection), states(64, 64)
    spreads = [{}, {"spread": None}]
    deviations = []
    for spread in spreads:
        _, (layer,) = matched_tensors([match], features, teacher_width=lambda match: 96, **spread)
        assert not layer.bias.numpy().any()
        deviations.append(float(np.std(layer.kernel.numpy())))
    glorot = (2 / (64 + 96)) ** 0.5
    assert deviations == pytest.approx([0.02, glorot], rel=0.05)


@pytest.mark.parametrize("loss", ["nst", "spkd", "rkd", "pkt", "cckd"])
def test_losses_that_take_unequal_widths_get_no_projection(loss):
    match = Match("hidden_states", 1, 1, loss)
    outputs, layers = matched_tensors([match], states(3, 3), teacher_width=lambda match: 5)
    assert layers == []
    assert {tensor.shape[-1] for tensor in outputs.values()} == {3}


def test_deployed_projection_is_used_for_the_top_state_alone():
    deployed = tf_keras.layers.Dense(5, name="deployed")
    matches = [Match("hidden_states", 2, 1), Match("hidden_states", 0, 0)]
    arguments = {"teacher_width": lambda match: 5, "deployed": deployed, "top": "hidden_states_1"}
    _, layers = matched_tensors(matches, states(3, 3), **arguments)
    assert [layer.name for layer in layers] == [matches[1].name + "_projection"]
    assert deployed.built


# Rows of several parts


class Part:
    """Targets that say which row of which part they are of."""

    def __init__(self, features, number: int):
        self.features, self.number = features, number

    def __call__(self, rows, width):
        values = np.stack([np.full(len(rows), self.number), rows], axis=1).astype(np.float32)
        return {"teacher_logits": values}


def test_joined_targets_are_read_from_the_part_that_a_row_is_of():
    parts = [Part(toy_features(5), 1), Part(toy_features(3), 2)]
    joined_rows = joined_targets(*parts)
    assert len(joined_rows.features) == 8
    found = joined_rows(np.array([6, 0, 7, 4]), 4)["teacher_logits"]
    assert found.tolist() == [[2, 1], [1, 0], [2, 2], [1, 4]]
    expected = parts[1].features.row(1)
    for name, value in joined_rows.features.row(6).items():
        np.testing.assert_array_equal(value, expected[name])


def test_joined_rows_without_labels_are_not_scored():
    bare = dataclasses.replace(toy_features(2), labels=None)
    labels = joined_targets(Part(bare, 1), Part(toy_features(3), 2)).features.labels
    positions = int(bare.offsets[-1])
    assert (labels[:positions] == -100).all()
    np.testing.assert_array_equal(labels[positions:], toy_features(3).labels)


def test_joined_rows_have_labels_of_the_shape_that_labelled_rows_have():
    rows = [Features.from_rows([[1, 2]] * count) for count in (2, 3)]
    several = dataclasses.replace(rows[1], labels=np.array([[1, 0], [0, 0], [1, 1]], np.float32))
    labels = joined_targets(Part(rows[0], 1), Part(several, 2)).features.labels
    assert labels.dtype == np.float32 and labels.tolist() == [[-100, -100]] * 2 + [[1, 0], [0, 0], [1, 1]]


def test_rows_without_labels_are_left_out_where_several_labels_may_hold():
    # Logits 0 cost ln 2 each, whatever the label; ln 3 costs ln 4 against 0. The second row has no labels.
    labels, logits = [[1.0, 0.0], [-100.0, -100.0]], [[0.0, np.log(3.0)], [5.0, -5.0]]
    shape = types.SimpleNamespace(logit_names=("logits",), by_position=False, problem_type="multi_label_classification")
    objective = terms_objective(LABELS_ALONE, (), shape, teachers=())
    batch = batch_of({}, labels=tf.constant(labels))
    (term,) = objective({"logits": tf.constant(logits, tf.float32)}, batch).values()
    total, count = (float(value) for value in term.total_and_count())
    assert (total, count) == (pytest.approx((np.log(2) + np.log(4)) / 2), 1.0)
