"""`Distiller.fit`: what a step's loss is, what it changes, how long it trains, on which devices."""

import numpy as np
import pytest

from tests.conftest import slow
from tests.distillation.distiller.models import (
    FIT,
    LABELS,
    ONE_STEP,
    TAGGING_FIRST,
    TASKS,
    WORDS,
    bert,
    padded,
    pair,
    rows,
    tf,
    tf_keras,
    transformers,
    variable_named,
)
from xtremedistil.distillation.distiller.dataset import DistillationDataset
from xtremedistil.distillation.distiller.distiller import Distiller
from xtremedistil.losses import LOSSES
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.terms.terms import Terms
from xtremedistil.training.strategy import precision
from xtremedistil.training.trainer import Trainer


@pytest.mark.parametrize("task", TAGGING_FIRST)
def test_models_of_hugging_face_are_distilled_as_they_are(task):
    teacher, student = pair(task)
    before = [variable.numpy().copy() for variable in teacher.weights]
    distiller = Distiller(teacher, student, Terms(matches="uniform"))
    history = distiller.fit(rows(40), rows(16, seed=1), **FIT)
    losses = [epoch["loss"] for epoch in history.epochs]
    assert losses[-1] < losses[0]
    assert history.best_score > history.epochs[0]["score"] or history.best_epoch == 0
    for variable, value in zip(teacher.weights, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert len(distiller.projections) == 3


@pytest.mark.slow
@pytest.mark.parametrize("task", TAGGING_FIRST)
@pytest.mark.parametrize("name", ["Roberta", "Electra", "DistilBert"])
def test_other_families_need_no_adaptor_either(name, task, eagerly):
    config = getattr(transformers, f"{name}Config")(
        vocab_size=WORDS, max_position_embeddings=20, pad_token_id=0, num_labels=2, type_vocab_size=2
    )
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    for key, value in sizes.items():
        setattr(config, key, value)
    config.embedding_size, config.hidden_dim = 8, 8
    student = getattr(transformers, f"TF{name}For{task}")(config)
    teacher = bert(task, layers=1, width=8, seed=1, labels=2)
    distiller = Distiller(teacher, student, Terms(matches="last"))
    before = [variable.numpy() for variable in student.weights]
    history = distiller.fit(rows(8), epochs=1, batch_size=8)
    assert np.isfinite(history.epochs[0]["loss"])
    assert any(not np.array_equal(new.numpy(), old) for new, old in zip(student.weights, before, strict=True))
    span = task == "QuestionAnswering"
    length = len(rows(8)["input_ids"][0])
    assert distiller.predict(rows(8))[0].shape == ((length, 2) if span or task == TASKS[1] else (2,))


def causal(layers: int, width: int, seed: int):
    tf_keras.utils.set_random_seed(seed)
    sizes = {"vocab_size": WORDS, "n_embd": width, "n_layer": layers, "n_head": 2, "n_positions": 16}
    dropouts = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    model = transformers.TFGPT2LMHeadModel(transformers.GPT2Config(**sizes, **dropouts, initializer_range=0.5))
    model(model.dummy_inputs)
    return model


@pytest.mark.slow
def test_left_to_right_language_models_learn_from_one_another_and_from_the_next_piece():
    """Labels are the next tokens, -100 at the last; GPT-2 shifts those that it is given by itself."""
    teacher, student = causal(2, 16, 1), causal(1, 8, 2)
    data = rows(8)
    labels = [[*row[1:], -100] for row in data["input_ids"]]
    distiller = Distiller(teacher, student, Terms(hard_label_weight=0.5))
    batch = padded(data)
    given = np.where(batch["attention_mask"] > 0, batch["input_ids"], -100)
    expected = float(tf.reduce_mean(student(batch, labels=given).loss))
    (epoch,) = distiller.fit(data | {"labels": labels}, epochs=1, batch_size=8, learning_rate=1e-9).epochs
    assert epoch["labels"] == pytest.approx(expected, rel=1e-4)
    logits = [model(batch).logits.numpy()[batch["attention_mask"] > 0] for model in (teacher, student)]
    kl = LOSSES["soft_label_kl"](teacher=logits[0], student=logits[1], temperature=2.0)
    assert epoch["logits"] == pytest.approx(float(kl), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("task", TAGGING_FIRST)
def test_half_precision_gives_the_losses_of_float32_up_to_its_rounding(task):
    found = []
    for policy in ("float32", "mixed_float16"):
        with precision(policy):
            teacher, student = pair(task)
            distiller = Distiller(teacher, student, Terms(matches="last"))
            outputs = distiller.matching.output
        # The policy may be gone by now: what counts is how the models were built.
        found.append(distiller.fit(rows(16), epochs=2, batch_size=8, learning_rate=1e-3).epochs)
        assert {tensor.dtype for tensor in [*outputs.values(), *distiller.model.output.values()]} == {tf.float32}
    names = [name for name in found[0][0] if name == "loss" or "logits" in name or "hidden" in name]
    assert len(names) >= 5
    for whole, half in zip(*found, strict=True):
        assert [half[name] for name in names] == pytest.approx([whole[name] for name in names], rel=1e-2, abs=2e-2)
        assert half["loss"] == pytest.approx(whole["loss"], rel=1e-2)


@pytest.mark.slow
def test_layers_may_be_mapped_one_by_one():
    terms = Terms(matches="0:0,2:3")
    assert Terms.from_json(terms.to_json()) == terms
    models = pair()
    distiller = Distiller(*models, terms)
    assert [(match.teacher, match.student) for match in distiller.matches] == [(3, 2), (0, 0)]
    assert set(distiller.matching.output) == {"logits", *(match.name for match in distiller.matches)}
    with pytest.raises(ValueError, match="names layer 4 of the teacher, which has 3"):
        Distiller(*models, Terms(matches="0:0,2:4"))


def test_loss_of_a_step_is_the_sum_by_hand():
    """w_soft KL + w_match hidden MSE + w_hard cross-entropy, of one batch, before any update."""
    teacher, student = pair()
    labels = [0, 2, 1, 1]
    data = rows(4, labels=labels)
    soft, match = SoftLabels("soft_label_kl", temperature=3.0, weight=0.7), Match("hidden_states", 3, 2, "nst", 2.0)
    distiller = Distiller(teacher, student, Terms(soft, (match,), hard_label_weight=0.4))
    batch = padded(data)
    theirs = teacher(batch, output_hidden_states=True)
    ours = student(batch, output_hidden_states=True)
    history = distiller.fit(data, epochs=1, batch_size=4, learning_rate=1e-9, targets_precision="float32")
    mask = batch["attention_mask"]
    log_teacher, log_student = (tf.nn.log_softmax(out.logits / 3.0).numpy() for out in (theirs, ours))
    kl = np.mean(np.sum(np.exp(log_teacher) * (log_teacher - log_student), -1)) * 9
    grams = [np.einsum("bid,bjd->bij", x, x) / x.shape[-1] for x in (theirs.hidden_states[3], ours.hidden_states[2])]
    pairs = mask[:, :, None] * mask[:, None, :]
    nst = np.sum((grams[0] - grams[1]) ** 2 * pairs) / pairs.sum()
    hard = -np.mean(tf.nn.log_softmax(ours.logits).numpy()[np.arange(4), labels])
    (epoch,) = history.epochs
    assert epoch["logits"] == pytest.approx(kl, rel=1e-5)
    assert epoch[match.name] == pytest.approx(nst, rel=1e-5)
    assert epoch["labels"] == pytest.approx(hard, rel=1e-5)
    assert epoch["loss"] == pytest.approx(0.7 * kl + 2 * nst + 0.4 * hard, rel=1e-5)


@pytest.mark.parametrize("name", ["emd", *slow("sinkhorn")])
def test_all_layers_may_move_to_all_within_a_graph(name):
    """The first step's loss is that of the projected states by hand."""
    teacher, student = pair("TokenClassification")
    distiller, data = Distiller(teacher, student, Terms(matches=name)), rows(4)
    (match,) = [one for one in distiller.matches if one.loss == "layer_transport"]
    batch = padded(data) | {"token_type_ids": np.zeros((4, 10), np.int32)}
    theirs = distiller.teachers[0].feature_model(match.teacher_names)(batch)
    ours = distiller.matching(batch)
    sides = [theirs[one] for one in match.teacher_names], [ours[one] for one in match.outputs]
    mask = tf.cast(batch["attention_mask"], tf.float32)
    expected = LOSSES["layer_transport"](teacher=sides[0], student=sides[1], mask=mask, **match.options)
    tf.config.run_functions_eagerly(False)
    (epoch,) = distiller.fit(data, **ONE_STEP).epochs
    assert epoch[match.name] == pytest.approx(float(expected), rel=1e-4)
    assert epoch[match.name] > 0


@pytest.mark.slow
def test_vectors_of_rows_are_matched_where_a_loss_takes_them():
    teacher, student = pair()
    match, data = Match("path", "pooler", "pooler", "spkd"), rows(4)
    theirs, ours = (model.bert(padded(data)).pooler_output for model in (teacher, student))
    expected = float(LOSSES["spkd"](teacher=theirs, student=ours))
    (epoch,) = Distiller(teacher, student, Terms(matches=(match,))).fit(data, **ONE_STEP).epochs
    assert epoch[match.name] == pytest.approx(expected, rel=1e-4)
    (epoch,) = (
        Distiller(teacher, student, Terms(matches=(match,))).fit(rows(6), **(ONE_STEP | {"batch_size": 3})).epochs
    )
    assert np.isfinite(epoch["loss"])
    projected = Distiller(teacher, student, Terms(matches=(Match("path", "pooler", "pooler"),)))
    assert [layer.units for layer in projected.projections] == [16]
    for loss, others in (("pkd", "pooler"), ("hidden_mse", "embeddings")):
        with pytest.raises(
            ValueError, match=r"\[B, S, H\]. Take a layer .*vector per row are: hidden_mse, hidden_cosine, rkd"
        ):
            Distiller(teacher, student, Terms(matches=(Match("path", "pooler", others, loss),)))


@pytest.mark.slow
def test_teacher_is_tuned_on_labels_without_a_teacher():
    data = rows(48)
    data["labels"] = [row[0] % LABELS for row in data["input_ids"]]
    model = bert("SequenceClassification", layers=1, width=16, seed=1)
    terms = Terms(SoftLabels(weight=0.0), hard_label_weight=1.0)
    history = Distiller(None, model, terms).fit(data, data, epochs=8, batch_size=8, learning_rate=0.01)
    assert history.best_score > history.epochs[0]["score"]
    assert {"labels", "loss"} <= set(history.epochs[0])
    with pytest.raises(ValueError, match="only gold labels can be learnt"):
        Distiller(None, model)


def test_only_the_named_layers_change():
    teacher, student = pair()
    before = {variable.name: variable.numpy().copy() for variable in student.weights}
    Distiller(teacher, student).fit(rows(16), trained=["classifier", "bert/pooler"], **FIT)
    changed = {name for name, value in before.items() if not np.array_equal(value, variable_named(student, name))}
    assert changed
    assert all("classifier" in name or "pooler" in name for name in changed)


def test_layers_that_are_frozen_stay_frozen():
    teacher, student = pair()
    student.bert.embeddings.trainable = False
    variables, _ = Distiller(teacher, student).trained(None, 1.0)
    names = {variable.name for variable in student.weights if "embeddings" not in variable.name}
    assert names and {variable.name for variable in variables} == names


@pytest.mark.slow
def test_projection_has_a_learning_rate_of_its_own():
    """Adam's first update is the rate, whatever the gradient."""
    teacher, student = pair()
    match = Match("hidden_states", 3, 2, projection="linear", projection_learning_rate=0.05)
    distiller = Distiller(teacher, student, Terms(matches=(match,)))
    (layer,) = distiller.projections
    before = layer.kernel.numpy()
    distiller.fit(rows(8), epochs=1, batch_size=8, learning_rate=1e-4, warmup_ratio=0.0, lr_schedule="constant")
    assert np.median(np.abs(layer.kernel.numpy() - before)) == pytest.approx(0.05, rel=0.01)


@pytest.mark.slow
def test_projections_are_clipped_with_the_student_and_follow_the_schedule_at_their_own_rate(monkeypatch):
    match = Match("hidden_states", 3, 2, weight=1e3, projection="linear", projection_learning_rate=0.05)
    distiller = Distiller(*pair(), Terms(matches=(match,)))
    own_handles = [id(variable.handle) for variable in distiller.projections[0].weights]
    applied, adam = [], tf.raw_ops.ResourceApplyAdam

    def noted(**arguments):
        squares = float(tf.reduce_sum(tf.square(arguments["grad"])))
        applied.append((id(arguments["var"]) in own_handles, float(arguments["lr"]), squares))
        return adam(**arguments)

    monkeypatch.setattr(tf.raw_ops, "ResourceApplyAdam", noted)
    rates = {"learning_rate": 0.01, "warmup_ratio": 0.0, "lr_schedule": "linear"}
    distiller.fit(rows(8), epochs=4, batch_size=8, max_grad_norm=0.5, **rates)
    own, rate, squares = np.moveaxis(np.array(applied, np.float64).reshape(4, -1, 3), -1, 0)
    np.testing.assert_allclose(squares.sum(axis=1), 0.5**2, rtol=1e-4)
    own = own[0] > 0
    assert own.sum() == 2 and (squares[:, own].sum(axis=1) > 0).all()
    student_rate = rate[:, ~own][:, :1]
    np.testing.assert_allclose(rate[:, own], 5 * student_rate * np.ones(2), rtol=1e-5)
    assert student_rate[0, 0] == pytest.approx(0.01) and (np.diff(student_rate[:, 0]) < 0).all()


@pytest.mark.slow
def test_devices_together_give_what_one_gives():
    from xtremedistil.training.strategy import make_strategy

    tf.config.run_functions_eagerly(False)
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("TensorFlow was started before it could have two logical CPUs")
    results = []
    for name in ("one_device", "mirrored"):
        strategy = make_strategy(name)
        with strategy.scope():
            teacher, student = pair("TokenClassification")
        distiller = Distiller(teacher, student, Terms(matches="last"), strategy=strategy)
        size = 8 // strategy.num_replicas_in_sync
        results.append(distiller.fit(rows(20), epochs=2, batch_size=size, learning_rate=0.01).epochs)
    for one, two in zip(*results, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)


def updates(monkeypatch) -> list[int]:
    """Numbers of the updates that are made from now on."""
    made, step = [], Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda self, *args: made.append(args[1]) or step(self, *args))
    return made


@pytest.mark.slow
def test_training_by_steps_may_read_a_dataset_without_end(monkeypatch):
    """5 updates of 4 rows read 20 of them: 12, and 8 again."""
    made, read = updates(monkeypatch), []
    features_read = DistillationDataset.read
    monkeypatch.setattr(DistillationDataset, "read", lambda *args: read.append(features_read(*args)) or read[-1])
    arrays = padded(rows(12))
    endless = tf.data.Dataset.from_tensor_slices(arrays).batch(4).repeat()
    history = Distiller(*pair()).fit(endless, steps=5, batch_size=4)
    assert (made, len(history.epochs), len(read[0][0])) == ([0, 1, 2, 3, 4], 1, 20)


def test_epochs_may_have_any_number_of_steps(monkeypatch):
    made = updates(monkeypatch)
    distiller = Distiller(*pair())
    history = distiller.fit(rows(12), rows(4), steps=10, steps_per_epoch=5, batch_size=4)
    assert (made, len(history.epochs)) == (list(range(10)), 2)
    with pytest.raises(ValueError, match="steps is 9, which is not a multiple of steps_per_epoch, 5. Take 10"):
        distiller.fit(rows(12), steps=9, steps_per_epoch=5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "schedule", "expected"),
    [
        (0, "linear_growth", [0, 0.25, 0.5, 0.75]),
        (5, "linear_decay", [5, 0.75, 0.5, 0.25]),
        *slow((1, "linear_decay", [1, 0.75, 0.5, 0.25]), (0.3, "none", [0.3, 0.3, 0.3, 0.3])),
    ],
)
def test_textbrewers_schedules_take_the_place_of_their_weights(base, schedule, expected):
    """The first of four updates sees what is given, update k + 1 the schedule at k / 4."""
    config = {"hard_label_weight": base, "hard_label_weight_scheduler": schedule, "kd_loss_weight": 2}
    terms = Terms.from_textbrewer(config)
    assert Terms.from_json(terms.to_json()) == terms
    data = rows(8, labels=[0, 1, 2, 0, 1, 2, 0, 1])
    still = {"learning_rate": 1e-9, "warmup_ratio": 0.0, "lr_schedule": "constant"}
    epochs = Distiller(*pair(), terms).fit(data, epochs=4, batch_size=8, **still).epochs
    found = [(epoch["loss"] - 2 * epoch["logits"]) / epoch["labels"] for epoch in epochs]
    assert found == pytest.approx(expected, abs=1e-4)
