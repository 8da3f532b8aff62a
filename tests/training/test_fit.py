"""Batches, the training loop on a toy model, and devices."""

import functools
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

import xtremedistil  # noqa: F401 - chooses legacy Keras
from tests.conftest import slow
from tests.corpus_fixtures import CORPUS_WORDS, make_batches
from tests.model_fixtures import TOY_LABELS, TOY_WORDS, toy_features
from xtremedistil.data.features import Features
from xtremedistil.errors import InputError
from xtremedistil.training.batching import TrainingBatches, epoch_order

tf = pytest.importorskip("tensorflow")

from xtremedistil.training.dropout import SeededDropout, seed_dropout  # noqa: E402
from xtremedistil.training.learning_rate import LearningRate  # noqa: E402
from xtremedistil.training.loop import fit, step_function  # noqa: E402
from xtremedistil.training.objectives import Objective  # noqa: E402
from xtremedistil.training.optimizer import decays  # noqa: E402
from xtremedistil.training.snapshots import SnapshotManager, Terminated  # noqa: E402
from xtremedistil.training.state import TrainingState  # noqa: E402
from xtremedistil.training.strategy import make_strategy, set_precision, stage_seed, wants_static_shapes  # noqa: E402
from xtremedistil.training.trainer import Trainer, TrainingSettings  # noqa: E402

PAD = 9


def toy_batches(
    features: Features, batch_size: int = 8, seed: int = 1, per_step: int = 1, steps_per_epoch: int | None = None
) -> TrainingBatches:
    return TrainingBatches(features, batch_size, PAD, seed, per_step=per_step, steps_per_epoch=steps_per_epoch)


# Batches


def test_epoch_order_has_every_row_once():
    lengths = toy_features(150).lengths
    batches = epoch_order(lengths, 8, seed=3, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(150))
    assert sorted(map(len, batches)) == [6] + [8] * 18


def test_epoch_order_is_a_function_of_seed_and_epoch():
    lengths = toy_features(40).lengths

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [rows.tolist() for rows in epoch_order(lengths, 8, seed, epoch)]

    assert order(3, 1) == order(3, 1)
    assert order(3, 1) != order(3, 2)
    assert order(3, 1) != order(4, 1)


def test_epoch_order_puts_rows_of_like_length_together():
    lengths = np.random.default_rng(0).permutation(np.repeat(np.arange(1, 9), 8))
    assert all(len(set(lengths[rows])) == 1 for rows in epoch_order(lengths, 8, seed=0, epoch=0))


def test_batch_pads_ids_masks_and_labels_each_with_its_own_filler():
    rows, words = [[5, 6, 7], [8], [9] * 9], [[0, -1, 1], [0], [-1] * 9]
    features = Features.from_rows(rows, labels=[[0, -100, 1], [2], [-100] * 9], word_ids=words)
    batch = toy_batches(features).arrays(np.array([1, 0]))
    assert batch["input_ids"].tolist() == [[8, PAD, PAD], [5, 6, 7]]
    assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [[2, -100, -100], [0, -100, 1]]
    assert batch["row_mask"].tolist() == [1.0, 1.0]
    assert batch["input_ids"].dtype == batch["attention_mask"].dtype == batch["labels"].dtype == np.int32


def test_widths_are_multiples_of_eight_where_few_shapes_are_wanted():
    features = Features.from_rows([[5] * length for length in (3, 9, 11, 20)])
    for full, expected in ((False, {3, 9, 11, 20}), (True, {8, 16, 20})):
        shares = [share for (share,) in toy_batches(features, 1).epoch(0, replicas=1, full=full)]
        assert {share["input_ids"].shape[1] for share in shares} == expected


def test_few_shapes_occur_over_all_epochs_where_few_are_wanted():
    lengths = np.random.default_rng(1).integers(3, 41, 203)
    features = Features.from_rows([[5] * int(length) for length in lengths])
    batches = toy_batches(features, 8)
    shapes = [share["input_ids"].shape for e in range(3) for (share,) in batches.epoch(e, replicas=1, full=True)]
    assert set(shapes) <= {(8, width) for width in (8, 16, 24, 32, 40)} and len(shapes) == 3 * 26


def test_batch_holds_one_label_a_row_for_classification():
    features = Features.from_rows([[5, 6, 7], [8]], labels=[1, 0])
    assert toy_batches(features).arrays(np.array([1, 0]))["labels"].tolist() == [0, 1]


def test_batch_holds_the_targets_of_its_rows():
    features = toy_features(5)

    def targets(rows, width):
        return {"teacher_logits": np.repeat(rows[:, None], width, axis=1)}

    batch = TrainingBatches(features, 2, PAD, 0, [targets]).arrays(np.array([3, 1]))
    assert batch["teacher_logits"][:, 0].tolist() == [3, 1]
    assert batch["teacher_logits"].shape == batch["input_ids"].shape


def test_sample_looks_like_the_batches_of_an_epoch():
    batches = toy_batches(toy_features(5))
    ((share,),) = batches.epoch(0, replicas=1)
    looks = {name: (array.dtype, array.ndim) for name, array in share.items()}
    assert {name: (array.dtype, array.ndim) for name, array in batches.sample().items()} == looks


def shares_of(count: int, replicas: int, **arguments) -> list[dict]:
    """The shares of the only batch of an epoch of so many rows."""
    (shares,) = toy_batches(toy_features(count), 8).epoch(0, replicas, **arguments)
    return shares


def test_batch_is_cut_into_equal_shares_with_masked_filler_rows():
    shares, (whole,) = shares_of(5, 2), shares_of(5, 1)
    assert len(shares) == 2
    for name, array in whole.items():
        assert [share[name].shape for share in shares] == [(3, *array.shape[1:])] * 2
        assert np.array_equal(np.concatenate([share[name] for share in shares])[:5], array)
    assert shares[1]["row_mask"].tolist() == [1, 1, 0]
    assert not shares[1]["attention_mask"][2].any()
    assert (shares[1]["labels"][2] == -100).all()


def test_batch_of_one_row_leaves_the_other_replicas_filler_only():
    assert [share["row_mask"].tolist() for share in shares_of(1, 3)] == [[1], [0], [0]]


def test_worker_reads_the_shares_of_its_replicas_alone():
    asked = []
    features = toy_features(8)

    def targets(rows, width):
        asked.append((rows.tolist(), width))
        return {"teacher": np.repeat(rows[:, None], width, axis=1)}

    batches = TrainingBatches(features, 8, PAD, 0, [targets])
    ((share,),) = batches.epoch(0, replicas=2, mine=slice(1, 2))
    ((rows, width),) = asked
    assert rows == batches.groups(0)[0][0][4:].tolist()
    assert share["input_ids"].shape == (4, width) == (4, features.lengths.max())


def test_full_batches_have_the_rows_of_all_others():
    (share,) = shares_of(5, 1, full=True)
    assert share["row_mask"].tolist() == [1] * 5 + [0] * 3


def test_steps_of_an_epoch_are_as_many_as_it_yields():
    batches = toy_batches(toy_features(21))
    assert batches.steps == len(list(batches.epoch(0, replicas=2))) == 3


def test_batches_of_a_step_are_the_parts_of_one_big_batch():
    features = toy_features(45)
    big, parts = toy_batches(features, 16), toy_batches(features, 4, per_step=4)
    assert parts.steps == big.steps == 3
    for (rows,), group in zip(big.groups(2), parts.groups(2), strict=True):
        assert np.concatenate(group).tolist() == rows.tolist()
        assert [len(part) for part in group] in ([4, 4, 4, 4], [4, 4, 4, 1])
    assert len(list(parts.epoch(2, replicas=1))) == 12


def test_epochs_of_another_length_go_through_the_passes_one_after_the_other():
    """9 steps a pass, 4 an epoch: the third epoch begins with the last step of the first pass."""
    passes, batches = toy_batches(toy_features(45), 5), toy_batches(toy_features(45), 5, steps_per_epoch=4)
    assert (passes.steps, batches.steps) == (9, 4)
    expected = [group for number in range(2) for group in passes.groups(number)][:16]
    found = [group for epoch in range(4) for group in batches.groups(epoch)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    many = toy_batches(toy_features(45), 5, steps_per_epoch=20)
    assert len(many.groups(1)) == len(list(many.epoch(1, replicas=1))) == 20


# The loop


@functools.cache
def one_device():
    return make_strategy("one_device")


def toy_model(strategy=None, seed: int = 0, rate: float = 0.0, words: int = TOY_WORDS) -> "tf.keras.Model":
    """Embedding, dropout, classifier."""
    tf.keras.utils.set_random_seed(seed)
    strategy = strategy or one_device()
    with strategy.scope():
        names = ("input_ids", "attention_mask", "token_type_ids")
        inputs = {name: tf.keras.Input([None], dtype=tf.int32, name=name) for name in names}
        state = tf.keras.layers.Embedding(words, 6, name="table")(inputs["input_ids"])
        state = tf.keras.layers.Dropout(rate)(state)
        head = tf.keras.layers.Dense(TOY_LABELS, dtype="float32", name="head")
        return tf.keras.Model(inputs, {"logits": head(state)})


def toy_objective(factor: float = 1.0):
    """Cross-entropy with the labels, times `factor`."""

    def values(outputs, batch):
        mask = tf.cast(batch["labels"] >= 0, tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(batch["labels"], 0), outputs["logits"])
        return {"labels": factor * tf.math.divide_no_nan(tf.reduce_sum(losses * mask), tf.reduce_sum(mask))}

    def counts(batch):
        return {"labels": tf.reduce_sum(tf.cast(batch["labels"] >= 0, tf.float32))}

    return Objective(values, counts)


def two_term_objective():
    """The same, and with weight 0.3 the size of the logits at real positions: means over other counts."""
    labels = toy_objective()

    def values(outputs, batch):
        mask = tf.cast(batch["attention_mask"], tf.float32)
        sizes = tf.reduce_sum(tf.square(outputs["logits"]), axis=-1) * mask
        size = tf.math.divide_no_nan(tf.reduce_sum(sizes), tf.reduce_sum(mask))
        return labels.values(outputs, batch) | {"size": size}

    def counts(batch):
        return labels.counts(batch) | {"size": tf.reduce_sum(tf.cast(batch["attention_mask"], tf.float32))}

    return Objective(values, counts, {"size": 0.3})


def toy_recipe(
    epochs: int = 3,
    patience: int = 100,
    clip: float = 0.0,
    decay_epochs: int = 10,
    shape: str = "constant",
    weight_decay: float = 0.0,
) -> TrainingSettings:
    return TrainingSettings(LearningRate(0.05, epochs, decay_epochs, 0.0, shape), patience, clip, 7, weight_decay)


def toy_trainer(recipe: TrainingSettings, model=None, objective=None, variables=None, strategy=None) -> Trainer:
    strategy = strategy or one_device()
    model = model or toy_model(strategy)
    return Trainer(model, variables or model.variables, objective or toy_objective(), strategy, recipe)


def scores(*values: float):
    """An `evaluate` that says these in turn, and the last one from then on."""
    remaining = list(values)
    return lambda: remaining.pop(0) if len(remaining) > 1 else remaining[0]


def test_fit_lowers_the_loss():
    history = fit(toy_trainer(toy_recipe(epochs=6)), toy_batches(toy_features()), scores(0.0))
    losses = [epoch["loss"] for epoch in history.epochs]
    assert len(losses) == 6
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("per_step", [1, 2])
def test_fit_goes_through_a_corpus(per_step):
    corpus = make_batches(per_step=per_step, steps=2)
    asked = []

    def values(outputs, batch):
        logits = tf.gather(tf.reshape(outputs["logits"], [-1, TOY_LABELS]), batch["predicted"])
        losses = tf.reduce_sum(tf.square(logits - 1.0), axis=-1) * batch["predicted_mask"]
        return {"words": tf.math.divide_no_nan(tf.reduce_sum(losses), tf.reduce_sum(batch["predicted_mask"]))}

    def counts(batch):
        return {"words": tf.reduce_sum(batch["predicted_mask"])}

    trainer = toy_trainer(toy_recipe(epochs=8), toy_model(words=CORPUS_WORDS), Objective(values, counts))
    history = fit(trainer, corpus, scores(0.0), lambda state: asked.append(state["step"]))
    assert asked == list(range(1, 17))
    assert history.epochs[-1]["loss"] < 0.6 * history.epochs[0]["loss"]


def test_fit_reports_every_step():
    seen = []
    fit(toy_trainer(toy_recipe(epochs=2)), toy_batches(toy_features()), scores(0.0), seen.append)
    assert [state["step"] for state in seen] == [1, 2, 3, 4, 5, 6]
    assert [state["epoch"] for state in seen] == [1, 1, 1, 2, 2, 2]
    assert {state["steps"] for state in seen} == {6}


def test_fit_leaves_the_weights_of_the_best_epoch_in_place():
    trainer, snapshots = toy_trainer(toy_recipe(epochs=4)), []
    said = scores(0.1, 0.9, 0.9, 0.3)

    def evaluate():
        snapshots.append([variable.numpy() for variable in trainer.variables])
        return said()

    history = fit(trainer, toy_batches(toy_features()), evaluate)
    assert (history.best_score, history.best_epoch) == (0.9, 1)
    for variable, first, best in zip(trainer.variables, snapshots[0], snapshots[1], strict=True):
        assert np.array_equal(variable.numpy(), best)
        assert not np.array_equal(first, best)


def test_fit_out_of_patience_lets_the_rate_fall_and_ends():
    recipe = toy_recipe(epochs=50, patience=2, decay_epochs=3, shape="linear")
    history = fit(toy_trainer(recipe), toy_batches(toy_features()), scores(1.0, 0.0, 0.0, 2.0, 0.0))
    rates = [epoch["learning_rate"] for epoch in history.epochs]
    assert len(rates) == 6  # the best so far, two that are worse, three of decay
    assert rates[:3] == [0.05] * 3
    assert 0.05 > rates[3] > rates[4] > rates[5] > 0


def test_fit_out_of_patience_with_a_constant_rate_ends_at_once():
    recipe = toy_recipe(epochs=50, patience=2, shape="constant")
    history = fit(toy_trainer(recipe), toy_batches(toy_features()), scores(1.0, 0.0))
    assert len(history.epochs) == 3


def test_fit_refuses_a_loss_that_is_no_number():
    trainer = toy_trainer(toy_recipe(), objective=toy_objective(float("nan")))
    with pytest.raises(InputError, match="epoch 1: labels, loss is not a finite number.\nUse a lower `learning_rate`"):
        fit(trainer, toy_batches(toy_features()), scores(0.0))


def test_fit_leaves_variables_that_it_was_not_given_unchanged():
    model = toy_model()
    table, head = model.get_layer("table").embeddings, model.get_layer("head").trainable_variables
    before, before_head = table.numpy(), head[0].numpy()
    fit(toy_trainer(toy_recipe(epochs=1), model, variables=head), toy_batches(toy_features()), scores(0.0))
    assert np.array_equal(table.numpy(), before)
    assert not np.array_equal(head[0].numpy(), before_head)


def test_fit_twice_from_the_same_weights_gives_the_same_bytes():
    results = []
    for _ in range(2):
        model = toy_model(rate=0.3)
        fit(toy_trainer(toy_recipe(epochs=2), model), toy_batches(toy_features()), scores(0.0))
        results.append([array.tobytes() for array in model.get_weights()])
    assert results[0] == results[1]


@pytest.mark.parametrize("clip, expected", [(0.5, 0.5), (0.0, None), (1e6, None)])
def test_gradients_longer_than_allowed_are_shortened(eagerly, monkeypatch, clip, expected):
    trainer, norms = toy_trainer(toy_recipe(clip=clip), objective=toy_objective(100.0)), []
    monkeypatch.setattr(
        trainer.optimizer,
        "apply_gradients",
        lambda pairs, **_: norms.append(float(tf.linalg.global_norm([gradient for gradient, _ in pairs]))),
    )
    batches = toy_batches(toy_features())
    (share,) = next(batches.epoch(0, replicas=1))
    trainer.step({name: tf.constant(array) for name, array in share.items()}, 0, 0.05)
    assert norms == [pytest.approx(expected, rel=1e-5)] if expected else norms[0] > 5


def test_half_precision_scales_the_loss_and_keeps_losses_and_variables_in_float32():
    set_precision("mixed_float16")
    try:
        model = toy_model(rate=0.1)
    finally:
        set_precision(None)
    trainer = toy_trainer(toy_recipe(epochs=4), model)  # what counts is how the model was built
    assert isinstance(trainer.optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
    assert float(trainer.optimizer.loss_scale) > 1
    assert model.get_layer("table").compute_dtype == "float16"
    batches = toy_batches(toy_features())
    (share,) = next(batches.epoch(0, replicas=1))
    losses = trainer.step({name: tf.constant(array) for name, array in share.items()}, 0, 0.05)
    assert {value.dtype for value in losses.values()} == {tf.float32}
    assert {variable.dtype for variable in trainer.variables} == {tf.float32}
    history = fit(trainer, batches, scores(0.0))
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"] < 2  # not multiplied by the scale


def test_full_precision_does_not_scale_the_loss():
    assert not isinstance(toy_trainer(toy_recipe()).optimizer, tf.keras.mixed_precision.LossScaleOptimizer)


# Several batches a step


def fitted(per_step: int, strategy=None, policy: str | None = None, objective=None, **recipe):
    """A fit of 45 rows, 16 a step: losses by epoch, weights, reported steps, optimizer's updates."""
    strategy, seen = strategy or one_device(), []
    set_precision(policy)
    try:
        model = toy_model(strategy)
        trainer = toy_trainer(
            toy_recipe(clip=1.0, **recipe), model, objective or two_term_objective(), strategy=strategy
        )
    finally:
        set_precision(None)
    batches = toy_batches(toy_features(45), 16 // per_step, per_step=per_step)
    history = fit(trainer, batches, scores(0.0, 0.1, 0.2), seen.append)
    losses = [[epoch[name] for name in ("labels", "size", "loss")] for epoch in history.epochs]
    return losses, model.get_weights(), [state["step"] for state in seen], int(trainer.optimizer.iterations.numpy())


def assert_equal_fits(fit_, other, tolerance: float) -> None:
    np.testing.assert_allclose(other[0], fit_[0], atol=tolerance)
    for array, found in zip(fit_[1], other[1], strict=True):
        np.testing.assert_allclose(found, array, atol=tolerance)
    assert other[2:] == fit_[2:]


def test_four_batches_a_step_give_the_losses_and_weights_of_one_big_batch():
    big = fitted(per_step=1, shape="linear", weight_decay=0.1)
    assert big[2:] == ([1, 2, 3, 4, 5, 6, 7, 8, 9], 9)
    assert_equal_fits(big, fitted(per_step=4, shape="linear", weight_decay=0.1), 1e-5)


@pytest.mark.slow
def test_four_batches_a_step_on_two_devices_give_those_of_one_big_batch_on_one():
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("TensorFlow was in use before a second logical CPU could be asked for")
    assert_equal_fits(fitted(per_step=1), fitted(per_step=4, strategy=make_strategy("mirrored")), 1e-5)


@pytest.mark.parametrize("devices", ["one_device", *slow("mirrored")])
def test_four_batches_a_step_in_half_precision_are_one_big_batch_up_to_its_rounding(devices):
    strategy = make_strategy(devices)
    half = {"strategy": strategy, "policy": "mixed_float16", "weight_decay": 0.1}
    assert_equal_fits(fitted(per_step=1, **half), fitted(per_step=4, **half), 5e-3)


def test_mean_of_batch_means_would_be_another_gradient():
    """The masks of the toy rows are ragged enough for the tests above to tell the two apart."""
    batches = toy_batches(toy_features(45), 4, per_step=4)
    shares = [batches.arrays_without_targets(rows) for rows in batches.groups(0)[0]]
    assert len({int((share["labels"] >= 0).sum()) for share in shares}) > 1


def test_each_batch_of_a_step_draws_a_dropout_mask_of_its_own(monkeypatch):
    trainer, drawn = toy_trainer(toy_recipe(epochs=2)), []
    batches = toy_batches(toy_features(45), 4, per_step=4)
    step_function(trainer, batches, TrainingState(2))
    add = tf.function(trainer._distributed_add)
    monkeypatch.setattr(trainer, "_add", lambda *batch: drawn.append(trainer._dropout_seed.numpy()[1]) or add(*batch))
    fit(trainer, batches, scores(0.0))
    assert len(drawn) == len(set(drawn)) == 24
    assert drawn[:4] == [0, 1, 2, 3]


def test_update_that_overflows_in_one_batch_is_left_out_as_a_whole():
    set_precision("mixed_float16")
    try:
        model = toy_model()
        trainer = toy_trainer(toy_recipe(weight_decay=0.1), model, toy_objective(1e38))
    finally:
        set_precision(None)
    before, scale = model.get_weights(), float(trainer.optimizer.loss_scale)
    batches = toy_batches(toy_features(8), 4, per_step=2)
    shares = [batches.arrays(rows) for rows in batches.groups(0)[0]]
    counts = trainer.counts_of(shares)
    trainer.step_over([{name: tf.constant(array) for name, array in share.items()} for share in shares], counts, 0, 0.1)
    assert float(trainer.optimizer.loss_scale) == scale / 2
    assert [array.tobytes() for array in model.get_weights()] == [array.tobytes() for array in before]
    assert all(not total.numpy().any() for total in trainer._sums._sums)


# Weight decay


def test_weight_decay_takes_rate_times_decay_off_kernels_and_nothing_off_biases(eagerly):
    """One step: Adam's first is the rate in the direction of the gradient; decay 0.5 at rate 0.1 takes off 5 %."""
    results = []
    for decay in (0.0, 0.5):
        model = toy_model()
        kernel, bias = model.get_layer("head").trainable_variables
        kernel.assign(tf.fill(kernel.shape, 2.0))
        bias.assign(tf.fill(bias.shape, 2.0))
        trainer = toy_trainer(toy_recipe(weight_decay=decay), model, variables=[kernel, bias])
        (share,) = next(toy_batches(toy_features()).epoch(0, replicas=1))
        trainer.step({name: tf.constant(array) for name, array in share.items()}, 0, 0.1)
        results.append((kernel.numpy(), bias.numpy(), model.get_layer("table").embeddings.numpy()))
    (plain, plain_bias, table), (decayed, bias, same_table) = results
    np.testing.assert_allclose(np.abs(plain - 2.0), 0.1, rtol=0.01)
    np.testing.assert_allclose(decayed, plain - 0.1 * 0.5 * 2.0, atol=1e-6)
    assert np.array_equal(bias, plain_bias)
    assert np.array_equal(table, same_table)


@pytest.mark.parametrize(
    "name, shape, expected",
    [
        ("bert/dense/kernel:0", [3, 3], True),
        ("bert/word_embeddings/weight:0", [9, 3], True),
        ("bert/dense/bias:0", [3], False),
        ("bert/LayerNorm/gamma:0", [3], False),
        ("bert/LayerNorm/beta:0", [3], False),
        ("gpt2/c_attn/bias:0", [1, 9], False),
        ("xlnet/rel_attn/r_w_bias:0", [2, 3], False),
    ],
)
def test_weight_decay_leaves_biases_and_layer_norms_alone(name, shape, expected):
    assert decays(tf.Variable(tf.zeros(shape), name=name.removesuffix(":0"))) is expected


# Dropout


def masks(seed: tf.Variable, step: int, index: int = 0) -> list[float]:
    seed.assign([5, step])
    return SeededDropout(seed, index).dropout(tf.ones([64]), 0.5).numpy().tolist()


def test_dropout_mask_is_a_function_of_seed_step_and_layer():
    seed = tf.Variable([5, 0])
    first = masks(seed, step=3)
    assert set(first) == {0.0, 2.0}
    assert masks(seed, step=3) == first
    assert masks(seed, step=4) != first
    assert masks(seed, step=3, index=1) != first
    seed.assign([6, 3])
    assert SeededDropout(seed, 0).dropout(tf.ones([64]), 0.5).numpy().tolist() != first


def test_seeded_model_repeats_its_masks_for_a_step_and_has_none_in_inference():
    model, seed = toy_model(rate=0.5), tf.Variable([5, 0])
    seed_dropout(model, seed)
    inputs = {name: tf.ones([2, 8], tf.int32) for name in model.input_names}
    first = model(inputs, training=True)["logits"].numpy()
    assert np.array_equal(model(inputs, training=True)["logits"], first)
    plain = model(inputs, training=False)["logits"].numpy()
    assert np.array_equal(plain[0, 0], plain[1, 7])
    seed.assign([5, 1])
    assert not np.array_equal(model(inputs, training=True)["logits"], first)
    assert np.array_equal(model(inputs, training=False)["logits"], plain)


def test_stage_seeds_differ_by_place_and_fit_into_31_bits():
    seeds = {stage_seed(seed, *place) for seed in (0, 42, 2**32 - 1) for place in [(1, 0), (1, 100), (2, 0), (2, 100)]}
    assert len(seeds) == 12
    assert all(0 <= seed < 2**31 for seed in seeds)


# Devices


def need_two_devices() -> None:
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("TensorFlow was in use before a second logical CPU could be asked for")


def test_two_devices_give_the_losses_and_weights_of_one():
    need_two_devices()
    results = []
    for name in ("one_device", "mirrored"):
        strategy = make_strategy(name)
        model = toy_model(strategy)
        trainer = toy_trainer(toy_recipe(epochs=3, clip=1.0), model, strategy=strategy)
        history = fit(trainer, toy_batches(toy_features()), scores(0.0, 0.1, 0.2))
        results.append(
            (strategy.num_replicas_in_sync, [epoch["loss"] for epoch in history.epochs], model.get_weights())
        )
    (one, losses, weights), (two, other_losses, other_weights) = results
    assert (one, two) == (1, 2)
    np.testing.assert_allclose(other_losses, losses, atol=1e-5)
    for array, other in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(other, array, atol=1e-5)


@pytest.mark.parametrize(
    ("devices", "policy", "per_step"),
    [
        ("one_device", None, 1),
        *slow(
            ("one_device", "mixed_bfloat16", 1),
            ("one_device", None, 2),
            ("mirrored", None, 1),
            ("mirrored", None, 2),
            ("mirrored", "mixed_bfloat16", 1),
        ),
    ],
)
def test_compiled_steps_give_the_losses_and_weights_of_plain_ones(devices, policy, per_step):
    results = []
    for compiled in (False, True):
        strategy = make_strategy(devices)
        set_precision(policy)
        model = toy_model(strategy)  # without dropout: XLA draws other masks
        trainer = toy_trainer(replace(toy_recipe(epochs=2), jit_compile=compiled), model, strategy=strategy)
        history = fit(trainer, toy_batches(toy_features(), per_step=per_step), scores(0.0, 0.1))
        set_precision(None)
        results.append((history.epochs[-1]["loss"], *model.get_weights()))
    for plain, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, plain, atol=1e-5 if policy is None else 2e-2)


def test_steps_traced_for_each_shape_as_on_a_tpu_give_the_same(monkeypatch):
    results = []
    for static in (False, True):
        monkeypatch.setattr("xtremedistil.training.trainer.wants_static_shapes", lambda strategy, static=static: static)
        model = toy_model()
        history = fit(toy_trainer(toy_recipe(epochs=2), model), toy_batches(toy_features()), scores(0.0, 0.1))
        results.append((history.epochs[-1]["loss"], *model.get_weights()))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)


def test_compiled_dropout_differs_between_replicas():
    need_two_devices()
    strategy = make_strategy("mirrored")
    with strategy.scope():
        seed = tf.Variable([1, 2], dtype=tf.int32, trainable=False)
    draw = tf.function(lambda ones: SeededDropout(seed, 0).dropout(ones, 0.5), jit_compile=True)
    masks = tf.function(lambda: strategy.run(lambda: draw(tf.ones([100]))))()
    one, other = strategy.experimental_local_results(masks)
    assert np.any(one != other)


def test_tpu_strategy_is_built_on_the_system_that_the_address_names(monkeypatch):
    calls = []

    class Stub:
        def __init__(self, resolver):
            self.resolver = resolver

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", lambda tpu: f"resolver of {tpu!r}")
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", lambda given: calls.append(("connect", given)))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", lambda given: calls.append(("begin", given)))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", Stub)
    strategy = make_strategy("tpu", "tpu-1")
    assert isinstance(strategy, Stub) and strategy.resolver == "resolver of 'tpu-1'"
    assert calls == [("connect", strategy.resolver), ("begin", strategy.resolver)]
    assert wants_static_shapes(strategy) and not wants_static_shapes(tf.distribute.get_strategy())
    assert make_strategy("tpu").resolver == "resolver of ''"


def test_tpu_that_does_not_answer_is_refused(monkeypatch):
    def unknown(tpu):
        raise ValueError("Please provide a TPU Name to connect to.\nMore of it.")

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", unknown)
    with pytest.raises(InputError, match=r"no TPU answers at tpu-1 \(Please provide a TPU Name to connect to\.\)"):
        make_strategy("tpu", "tpu-1")


@pytest.mark.slow
def test_two_runs_on_two_devices_in_one_process_do_not_meet():
    """Other variables, so other shapes: TensorFlow took the sums of the second run for those of the first."""
    for name in ("head", "table"):
        strategy = make_strategy("mirrored")
        model = toy_model(strategy)
        trainer = toy_trainer(toy_recipe(epochs=1), model, variables=model.get_layer(name).weights, strategy=strategy)
        history = fit(trainer, toy_batches(toy_features()), scores(0.0))
        assert len(history.epochs) == 1


# Going on in the middle


class Killed(Exception):
    """Nothing may be saved any more."""


def interrupted_fit(folder, kills: list[int], policy: str | None = None, per_step: int = 1):
    """A fit with dropout that is killed after these steps and begun anew each time; its weights and losses."""
    for kill in [*kills, None]:
        set_precision(policy)
        try:
            model = toy_model(rate=0.3)
            recipe = toy_recipe(epochs=4, patience=2, decay_epochs=2, shape="linear", clip=1.0)
            trainer = toy_trainer(recipe, model)
        finally:
            set_precision(None)

        def report(state, kill=kill):
            if state["step"] == kill:
                raise Killed

        snapshots = SnapshotManager(str(folder), "toy", every_steps=2, every_minutes=0)
        batches = toy_batches(toy_features(45), 8 // per_step, per_step=per_step)

        def evaluate(model=model):
            return float(np.sin(1e3 * model.get_weights()[0].sum()))  # up and down, as the weights say

        try:
            history = fit(trainer, batches, evaluate, report, snapshots)
        except Killed:
            continue
    epochs = [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in history.epochs]
    return model.get_weights(), epochs, history.best_epoch


@pytest.mark.parametrize(
    ("policy", "per_step"), [(None, 1), ("mixed_float16", 2), *slow((None, 2), ("mixed_float16", 1))]
)
def test_killed_fit_ends_with_the_bytes_of_an_undisturbed_one(tmp_path, policy, per_step):
    expected, *rest = interrupted_fit(tmp_path / "undisturbed", [], policy, per_step)
    found, *other = interrupted_fit(tmp_path / "killed", [1, 3, 4, 7, 12, 13, 17], policy, per_step)
    assert other == rest
    for array, same in zip(expected, found, strict=True):
        assert array.tobytes() == same.tobytes()


def test_fit_with_a_snapshot_repeats_no_step_before_it(tmp_path):
    seen = []

    def report(state):
        seen.append(state["step"])
        if state["step"] == 5:
            raise Killed

    def run(told):
        snapshots = SnapshotManager(str(tmp_path / "s"), "toy", every_steps=2, every_minutes=0)
        fit(toy_trainer(toy_recipe(epochs=3)), toy_batches(toy_features()), scores(0.0), told, snapshots)

    with pytest.raises(Killed):
        run(report)
    resumed = []
    run(lambda state: resumed.append(state["step"]))
    assert (seen, resumed) == ([1, 2, 3, 4, 5], [5, 6, 7, 8, 9])


def test_sigterm_saves_and_ends_the_fit(tmp_path):
    def report(state):
        if state["step"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    snapshots = SnapshotManager(str(tmp_path), "toy", every_steps=0, every_minutes=0)
    with pytest.raises(Terminated) as end:
        fit(toy_trainer(toy_recipe(epochs=3)), toy_batches(toy_features()), scores(0.0), report, snapshots)
    assert end.value.code == 143
    assert (
        SnapshotManager(str(tmp_path), "toy", every_steps=0, every_minutes=0).load().state["step"] == 2
    )  # of the second epoch


def test_a_step_rounds_alike_whatever_batch_came_first():
    """Its graph is traced for open shapes; one traced for the shapes of its first batch would be optimised for them."""
    batches = toy_batches(toy_features(45), 8)
    traced = []
    for first_step in (0, 3):
        trainer = toy_trainer(toy_recipe())
        take_step = step_function(trainer, batches, TrainingState(3, epoch=1, step=first_step))
        take_step(0, 0.05)
        take_step(1, 0.05)
        (graph,) = trainer._step._list_all_concrete_functions()
        traced.append([str(tensor.shape) for tensor in graph.inputs[:3]])
    assert traced[0] == traced[1] == [str(tf.TensorShape([None, None]))] * 3
