"""`Distiller` on tiny models of Hugging Face, without an adaptor and with one."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

import xtremedistil
from tests.model_fixtures import toy_features
from xtremedistil.distillation.data.encoded_inputs import encoded_rows, features_of
from xtremedistil.distillation.teacher_outputs.word_alignment import aligned_outputs
from xtremedistil.storage.model_folder import SNAPSHOTS
from xtremedistil.tasks.problem_types import PROBLEM_TYPES, SPAN
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import SoftLabels, parse_temperature_schedule
from xtremedistil.terms.terms import Terms

tf = pytest.importorskip("tensorflow")
tf_keras = pytest.importorskip("tf_keras")
transformers = pytest.importorskip("transformers")

from xtremedistil.distillation.distiller.dataset import DistillationDataset  # noqa: E402
from xtremedistil.distillation.distiller.distiller import Distiller, kept  # noqa: E402
from xtremedistil.distillation.distiller.multi_task import fit_tasks, share_encoder  # noqa: E402
from xtremedistil.distillation.teacher_outputs.cache_writer import OutputWriterConfig  # noqa: E402
from xtremedistil.losses import LOSSES  # noqa: E402
from xtremedistil.losses.masking import EXCLUDED  # noqa: E402
from xtremedistil.models.adapters import AdaptedModel, TaskModel  # noqa: E402
from xtremedistil.training.batching import TrainingBatches  # noqa: E402
from xtremedistil.training.multi_task import TaskBatches  # noqa: E402
from xtremedistil.training.snapshots import SnapshotManager  # noqa: E402
from xtremedistil.training.strategy import precision  # noqa: E402
from xtremedistil.training.trainer import Trainer  # noqa: E402
from xtremedistil.training.workers import Workers  # noqa: E402

pytestmark = pytest.mark.usefixtures("eagerly")  # a few steps of tiny models take less time than their graphs
WORDS, LABELS = 40, 3
TASKS = ["SequenceClassification", "TokenClassification", "QuestionAnswering"]
# Where one kind of task tells most, the others are tried in the slow tests.
TAGGING_FIRST = [
    task if task == "TokenClassification" else pytest.param(task, marks=pytest.mark.slow) for task in TASKS
]


def bert(task: str, *, layers: int, width: int, seed: int, labels: int = LABELS, dropout: float = 0.0):
    tf_keras.utils.set_random_seed(seed)
    config = transformers.BertConfig(
        vocab_size=WORDS,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=16,
        num_labels=2 if task == "QuestionAnswering" else labels,
        initializer_range=0.5,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    model = getattr(transformers, f"TFBertFor{task}")(config)
    model(model.dummy_inputs)
    return model


def rows(count: int, seed: int = 0, **columns) -> dict:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, 9, count)
    ids = [generator.integers(1, WORDS, length).tolist() for length in lengths]
    return {"input_ids": ids} | columns


def padded(encoded: dict, width: int = 10) -> dict:
    ids = np.zeros((len(encoded["input_ids"]), width), np.int32)
    mask = np.zeros_like(ids)
    for row, values in enumerate(encoded["input_ids"]):
        ids[row, : len(values)], mask[row, : len(values)] = values, 1
    return {"input_ids": ids, "attention_mask": mask}


def pair(task: str = "SequenceClassification"):
    return bert(task, layers=3, width=16, seed=1), bert(task, layers=2, width=8, seed=2)


def hidden(teacher, student, loss: str) -> dict:
    """A match as TextBrewer writes it."""
    return {"layer_T": teacher, "layer_S": student, "feature": "hidden", "loss": loss, "weight": 1}


FIT = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "seed": 3}


# Without an adaptor


@pytest.mark.parametrize("task", TASKS)
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


def test_without_the_padding_or_with_it_rows_are_the_same():
    data = rows(6)
    bare, wide = features_of(data, by_position=False), features_of(padded(data), by_position=False)
    assert bare.fingerprint() == wide.fingerprint()


def test_rows_come_out_of_a_dataset_of_batches():
    data = rows(6)
    arrays = padded(data) | {"labels": np.arange(6) % 3}
    batches = tf.data.Dataset.from_tensor_slices(arrays).batch(4)
    pairs = batches.map(lambda batch: ({k: v for k, v in batch.items() if k != "labels"}, batch["labels"]))
    for dataset in (batches, pairs):
        found = features_of(dataset, by_position=False)
        assert found.labels.tolist() == [0, 1, 2, 0, 1, 2]
        assert found.fingerprint() == features_of(data, by_position=False).fingerprint()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"ids": [[1]]}, "input_ids are missing"),
        ([1, 2], "Rows are a list"),
        ({"input_ids": [[1, 2]], "labels": [[0]]}, "Row 0 has 2 input_ids and 1 labels"),
        ({"input_ids": [[1, 2]], "labels": [[0, 1], [1, 1]]}, "2 labels for 1 rows"),
        ({"input_ids": [[1, 2]], "label": [[0, 1]]}, "a column label; gold labels are read from labels"),
        ({"input_ids": [[1, 2]], "word_ids": [[0]]}, "Row 0 has 2 input_ids and 1 word_ids"),
    ],
)
def test_rows_that_do_not_fit(data, message):
    with pytest.raises(ValueError, match=message):
        features_of(data, by_position=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda dataset: dataset.batch(2).repeat(), "never ends"),
        (lambda dataset: dataset, "Add .batch"),
        (
            lambda dataset: dataset.batch(2).map(lambda row: (row, row["input_ids"], row["input_ids"])),
            "has weights behind",
        ),
        (lambda dataset: dataset.batch(2).map(lambda row: row["input_ids"]), "holds a ndarray; a mapping"),
    ],
)
def test_datasets_that_give_no_batches_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        features_of(change(tf.data.Dataset.from_tensor_slices(padded(rows(4)))), by_position=False)


@pytest.mark.parametrize("labels", [[2.5, 1.0], [[0, 1], [1, 1]]])
def test_labels_that_are_no_classes_are_refused(labels):
    with pytest.raises(ValueError, match="one whole number each"):
        features_of({"input_ids": [[1, 2], [3]], "labels": labels}, by_position=False)


@pytest.mark.parametrize(
    ("by_position", "labels", "message"),
    [
        (False, [-1, 0], "Row 0 has the label -1"),
        (True, [[0, 0], [-1]], "Row 1 has the label -1"),
        (True, [[0, 0.7], [1]], "Gold labels of positions are whole numbers"),
    ],
)
def test_labels_that_are_none_are_refused(by_position, labels, message):
    with pytest.raises(ValueError, match=message):
        features_of({"input_ids": [[1, 2], [3]], "labels": labels}, by_position=by_position)


def test_dev_rows_without_a_label_are_judged_by_the_loss_and_labels_without_a_logit_refused():
    distiller = Distiller(*pair())
    history = distiller.fit(rows(8), rows(4, labels=[-100] * 4), **(FIT | {"epochs": 1}))
    assert history.best_score < 0
    with pytest.raises(ValueError, match="The labels reach 9"):
        distiller.fit(rows(8), rows(4, labels=[0, 9, 0, 1]), **FIT)


def test_student_of_scores_learns_from_the_teacher_and_is_judged_by_the_loss():
    teacher, student = (bert("SequenceClassification", layers=1, width=8, seed=seed, labels=1) for seed in (1, 2))
    distiller = Distiller(teacher, student)
    history = distiller.fit(rows(16), rows(8, seed=1, labels=[3] * 8), **FIT)
    assert history.best_score < 0
    tagger = bert("TokenClassification", layers=1, width=8, seed=1, labels=1)
    with pytest.raises(ValueError, match="no loss of gold labels"):
        Distiller(tagger, tagger, Terms(SoftLabels("logits_mse"), hard_label_weight=1.0))


# Gold labels of other kinds


ONE_STEP = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-9, "targets_precision": "float32"}


def of_problem(problem_type: str, seed: int):
    labels = 1 if problem_type == "regression" else LABELS
    model = bert("SequenceClassification", layers=1, width=8, seed=seed, labels=labels)
    model.config.problem_type = problem_type
    return model


def test_scores_are_learnt_by_squared_errors():
    teacher, student = of_problem("regression", 1), of_problem("regression", 2)
    labels = [0.5, -1.0, 2.0, 0.0]
    data = rows(4, labels=labels)
    theirs, ours = (model(padded(data)).logits.numpy()[:, 0] for model in (teacher, student))
    (epoch,) = Distiller(teacher, student, Terms(hard_label_weight=0.5)).fit(data, data, **ONE_STEP).epochs
    assert epoch["logits"] == pytest.approx(np.mean((theirs - ours) ** 2), rel=1e-4)
    assert epoch["labels"] == pytest.approx(np.mean((ours - labels) ** 2), rel=1e-4)
    assert epoch["loss"] == pytest.approx(epoch["logits"] + 0.5 * epoch["labels"], rel=1e-4)
    assert epoch["score"] == pytest.approx(-epoch["loss"], rel=1e-3), "the loss of the same rows, as they are"


def test_several_labels_at_once_are_learnt_each_by_itself():
    """BCE(sigmoid(teacher / 2), student / 2) x 4 and BCE(labels, student), means over rows and labels."""
    problem = "multi_label_classification"
    teacher, student = of_problem(problem, 1), of_problem(problem, 2)
    labels = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    data = rows(4, labels=labels.tolist())
    theirs, ours = (model(padded(data)).logits.numpy() for model in (teacher, student))

    def bce(chances, logits):
        return -np.mean(chances * np.log(1 / (1 + np.exp(-logits))) + (1 - chances) * np.log(1 / (1 + np.exp(logits))))

    (epoch,) = Distiller(teacher, student, Terms(hard_label_weight=0.5)).fit(data, **ONE_STEP).epochs
    assert epoch["logits"] == pytest.approx(4 * bce(1 / (1 + np.exp(-theirs / 2)), ours / 2), rel=1e-4)
    assert epoch["labels"] == pytest.approx(bce(labels, ours), rel=1e-4)
    with pytest.raises(ValueError, match="labels that exclude each other"):
        Distiller(teacher, student, Terms(SoftLabels("soft_label_kl")))


def test_ends_of_spans_are_learnt_over_the_real_positions_of_a_row():
    """A row whose span is not in it is left out; parts of a step are the step."""
    teacher, student = pair("QuestionAnswering")
    data = rows(6)
    lengths = [len(row) for row in data["input_ids"]]
    data |= {"start_positions": [0, 1, -100, 2, 0, 1], "end_positions": [1, 2, 0, lengths[3] + 4, 0, 2]}
    found = []
    for row in (0, 1, 4, 5):
        for name, logits in zip(("start", "end"), span_logits(student, padded(data)), strict=True):
            log_shares = tf.nn.log_softmax(logits[row, : lengths[row]]).numpy()
            found.append(-log_shares[data[f"{name}_positions"][row]])
    distiller = Distiller(teacher, student, Terms(hard_label_weight=1.0))
    for sizes in ({"batch_size": 6}, {"batch_size": 2, "gradient_accumulation_steps": 3}):
        (epoch,) = distiller.fit(data, **(ONE_STEP | sizes)).epochs
        assert epoch["labels"] == pytest.approx(np.mean(found), rel=1e-4)
        assert epoch["loss"] == pytest.approx(epoch["labels"] + epoch["start_logits"] + epoch["end_logits"], rel=1e-5)
    outside = {"start_positions": [-100, 0, 1, 9], "end_positions": [1, 9, -100, 9]}
    for unlabelled in (rows(4), rows(4) | outside):
        with pytest.raises(ValueError, match="none. Give them as start_positions and end_positions"):
            distiller.fit(unlabelled, **ONE_STEP)


@pytest.mark.parametrize(
    ("problem_type", "columns", "message"),
    [
        ("multi_label_classification", {"labels": [[0, 2]]}, "reach from 0 to 2"),
        ("regression", {"labels": [float("nan")]}, "Row 0 has no finite score"),
        ("question_answering", {"start_positions": [0]}, "a span has start_positions and end_positions"),
        ("regression", {"labels": [1.0, 2.0]}, "2 labels for 1 rows"),
    ],
)
def test_labels_of_other_kinds_that_do_not_fit(problem_type, columns, message):
    with pytest.raises(ValueError, match=message):
        features_of({"input_ids": [[1, 2]]} | columns, by_position=False, problem_type=problem_type)


@pytest.mark.parametrize(
    ("problem_type", "labels", "message"),
    [
        ("multi_label_classification", [[0, 1]] * 4, r"\[4, 2\] over all rows; the student has 3"),
        (None, [0, 1, 2, 3], "labels reach 3; the student has 3 logits"),
    ],
)
def test_labels_that_the_student_has_no_logits_for(problem_type, labels, message):
    distiller = Distiller(of_problem(problem_type, 1), of_problem(problem_type, 2), Terms(hard_label_weight=1.0))
    with pytest.raises(ValueError, match=message):
        distiller.fit(rows(4, labels=labels), **ONE_STEP)


def test_dev_rows_without_the_labels_of_a_term_are_refused():
    with pytest.raises(ValueError, match="hard_label_weight needs gold labels, and the dev rows have none"):
        Distiller(*pair(), Terms(hard_label_weight=1.0)).fit(rows(4, labels=[0] * 4), rows(4), **ONE_STEP)


# Terms that would teach nothing


def test_match_below_all_that_is_trained_is_refused():
    """Its projection alone would learn."""
    distiller = Distiller(*pair(), Terms(matches=(Match("hidden_states", 3, 2),)))
    with pytest.raises(ValueError, match="hidden_states_hidden_mse_3_2: this would train nothing"):
        distiller.fit(rows(8), trained=["classifier"], **ONE_STEP)
    with pytest.raises(ValueError, match="Task a: hidden_states"):
        fit_tasks({"a": distiller}, {"a": rows(8)}, trained={"a": ["classifier"]}, epochs=1)


def test_maps_that_a_student_returns_after_dropout_are_refused():
    student = bert("SequenceClassification", layers=2, width=8, seed=2, dropout=0.1)
    maps = Terms(matches=(Match("attentions", 1, 1, "attention_mse"),))
    with pytest.raises(ValueError, match="attention_probs_dropout_prob is 0.1.*, or match attention_scores"):
        Distiller(pair()[0], student, maps)
    scores = Terms(matches=(Match("attention_scores", 1, 1, "attention_mse"),))
    assert Distiller(pair()[0], student, scores).fit(rows(4), **ONE_STEP).epochs


@pytest.mark.parametrize("name", ["emd", "sinkhorn"])
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


def test_teachers_without_a_part_in_any_term_are_refused():
    teacher, student = pair()
    of_the_first = Terms(SoftLabels(weight=0.0), matches=(Match("hidden_states", 3, 2),))
    for distiller, teachers in (
        (Distiller(teacher, student), []),
        (Distiller([teacher] * 2, student, of_the_first), [1]),
    ):
        with pytest.raises(ValueError, match=rf"teachers=\{teachers} leaves nothing to learn"):
            distiller.fit(rows(8), teachers=teachers, **ONE_STEP)


def test_state_that_an_adaptor_cuts_off_is_refused():
    teacher, _ = pair("TokenClassification")

    def cut(inputs, outputs):
        logits, embeddings, top = outputs
        return {"logits": logits, "hidden_states": [embeddings, tf.stop_gradient(top)]}

    matches = (Match("hidden_states", 3, 1), Match("hidden_states", 0, 0))
    with pytest.raises(ValueError, match="^hidden_states_hidden_mse_3_1: this would"):
        Distiller(teacher, AdaptedModel(recurrent(), cut), Terms(matches=matches)).fit(rows(8), **ONE_STEP)


def test_flow_on_the_host_cannot_be_compiled():
    distiller = Distiller(*pair(), Terms(matches="emd"))
    for fit in (distiller.fit, lambda train, **how: fit_tasks({"a": distiller}, {"a": train}, **how)):
        with pytest.raises(ValueError, match='jit_compile: the flow of .* Take the solver "sinkhorn"'):
            fit(rows(8), jit_compile=True)


def test_adaptor_may_give_several_logits_of_rows(tmp_path):
    def several(seed: int) -> AdaptedModel:
        tf_keras.utils.set_random_seed(seed)
        inputs = tf_keras.Input((None,), dtype=tf.int32, name="input_ids")
        states = tf_keras.layers.Embedding(WORDS, 4)(inputs)
        pooled = tf_keras.layers.GlobalAveragePooling1D()(states)
        model = tf_keras.Model({"input_ids": inputs}, [tf_keras.layers.Dense(size)(pooled) for size in (2, 3)])
        return AdaptedModel(
            model, lambda inputs, outputs: {"logits": dict(zip(("color", "size"), outputs, strict=True))}
        )

    epoch = Distiller(several(1), several(2)).fit(rows(16), rows(8), folder=str(tmp_path), **FIT).epochs[-1]
    assert np.isfinite([epoch["color"], epoch["size"]]).all()
    (kept_logits,) = tmp_path.glob("*/*/train/color.npy")
    assert np.load(kept_logits).dtype == np.float32
    with precision("mixed_float16"):
        halved = Distiller(several(1), several(2))
    outputs = [*halved.matching.output.values(), *halved.model.output.values()]
    assert {tensor.dtype for tensor in outputs} == {tf.float32}


# Several teachers


def test_weight_of_one_teacher_alone_is_that_teacher_alone():
    def run(teachers, **terms):
        student = bert("SequenceClassification", layers=1, width=8, seed=2)
        history = Distiller(teachers, student, Terms(**terms)).fit(rows(24), **(FIT | {"epochs": 2}))
        return [epoch["loss"] for epoch in history.epochs]

    teacher, _ = pair()
    other = bert("SequenceClassification", layers=1, width=8, seed=9)
    alone = run(teacher)
    for combine in ("logits", "probabilities", "losses"):
        both = run([teacher, other], teacher_weights=(2.0, 0.0), combine=combine)
        assert both == pytest.approx(alone, rel=1e-5)


def test_each_teacher_may_have_matches_and_leave():
    teacher, student = pair()
    other = bert("SequenceClassification", layers=1, width=12, seed=9)
    matches = (Match("hidden_states", 3, 2), Match("hidden_states", 1, 1, teacher_number=1))
    distiller = Distiller([teacher, other], student, Terms(matches=matches))
    both = distiller.fit(rows(16), epochs=1, batch_size=8).epochs[0]
    alone = distiller.fit(rows(16), epochs=1, batch_size=8, teachers=[0]).epochs[0]
    assert set(both) - set(alone) == {matches[1].name}


def test_same_layer_of_teachers_of_two_widths_may_be_matched():
    teacher, student = pair()
    other = bert("SequenceClassification", layers=1, width=12, seed=9)
    matches = tuple(Match("hidden_states", 1, 1, teacher_number=number) for number in (0, 1))
    distiller = Distiller([teacher, other], student, Terms(matches=matches))
    assert [layer.units for layer in distiller.projections] == [16, 12]
    assert np.isfinite(distiller.fit(rows(8), epochs=1, batch_size=8).epochs[0]["loss"])


def test_labels_of_rows_and_of_positions_are_no_pair():
    for kinds in (TASKS[:2], TASKS[1::-1]):
        with pytest.raises(ValueError, match=r"Teacher 0 gives logits \(None, .*one labels rows, the other"):
            Distiller(*(bert(kind, layers=1, width=8, seed=1) for kind in kinds))


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
        with pytest.raises(ValueError, match=r"\[B, S, H\]. Take a layer .*there are: hidden_mse, hidden_cosine, rkd"):
            Distiller(teacher, student, Terms(matches=(Match("path", "pooler", others, loss),)))


def test_teacher_of_other_labels_is_refused():
    _, student = pair()
    with pytest.raises(ValueError, match="Teacher 0 has 5 logits a row or position, the student 3"):
        Distiller(bert("SequenceClassification", layers=1, width=8, seed=1, labels=5), student)


@pytest.mark.parametrize(
    ("match", "message"),
    [
        (
            Match("values", 0, 0, "relation_kl", options={"relation_heads": 3}),
            r"teacher \(16\) and student \(8\), not 3",
        ),
        (
            Match("hidden_states", 1, 1, projection="none"),
            "takes equal widths; those of teacher and student are 16 and 8",
        ),
    ],
)
def test_match_of_widths_that_do_not_fit_is_refused_at_once(match, message):
    with pytest.raises(ValueError, match=message):
        Distiller(*pair(), Terms(matches=(match,)))


@pytest.mark.parametrize(("what", "given"), [("teachers", [1]), ("teacher_train", {1: {}}), ("teacher_dev", {-1: {}})])
def test_number_of_no_teacher_is_refused(what, given):
    with pytest.raises(ValueError, match=f"{what} names .* there are 1 teachers"):
        Distiller(*pair()).fit(rows(8), **{what: given}, **FIT)


@pytest.mark.parametrize("weights", [(1.0,), (0.0, 0.0), (1.0, -1.0)])
def test_teacher_weights_that_are_no_shares(weights):
    teacher, student = pair()
    with pytest.raises(ValueError, match="teacher_weights"):
        Distiller([teacher, teacher], student, Terms(teacher_weights=weights))


def test_teacher_is_tuned_on_labels_without_a_teacher():
    data = rows(48)
    data["labels"] = [row[0] % LABELS for row in data["input_ids"]]
    model = bert("SequenceClassification", layers=1, width=16, seed=1)
    terms = Terms(SoftLabels(weight=0.0), hard_label_weight=1.0)
    history = Distiller(None, model, terms).fit(data, data, epochs=8, batch_size=8, learning_rate=0.01)
    assert history.best_score > history.epochs[0]["score"]
    assert {"labels", "loss"} <= set(history.epochs[0])
    with pytest.raises(ValueError, match="gold labels alone"):
        Distiller(None, model)


# Stages, targets, resuming, saving


def test_only_the_named_layers_change():
    teacher, student = pair()
    before = {variable.name: variable.numpy().copy() for variable in student.weights}
    Distiller(teacher, student).fit(rows(16), trained=["classifier", "bert/pooler"], **FIT)
    changed = {name for name, value in before.items() if not np.array_equal(value, _now(student, name))}
    assert changed
    assert all("classifier" in name or "pooler" in name for name in changed)


def _now(model, name: str):
    return next(variable.numpy() for variable in model.weights if variable.name == name)


def test_name_of_no_variable():
    teacher, student = pair()
    with pytest.raises(ValueError, match="no variables in encodr"):
        Distiller(teacher, student).fit(rows(8), trained=["encodr"], **FIT)
    with pytest.raises(ValueError, match="no variables in bert/encoder/layer_"):
        Distiller(teacher, student).fit(rows(8), trained=["bert/encoder/layer_"], **FIT)
    with pytest.raises(ValueError, match=r"list one or several beginnings of names: \['classifier'\]"):
        Distiller(teacher, student).fit(rows(8), trained="classifier", **FIT)


def test_layers_that_are_frozen_stay_frozen():
    teacher, student = pair()
    student.bert.embeddings.trainable = False
    variables, _ = Distiller(teacher, student).trained(None, 1.0)
    names = {variable.name for variable in student.weights if "embeddings" not in variable.name}
    assert names and {variable.name for variable in variables} == names


def test_another_adaptor_over_the_same_teacher_is_asked_anew(tmp_path):
    model = recurrent()
    _, student = pair("TokenClassification")
    losses = []
    for state in (1, 2):
        teacher = AdaptedModel(model, lambda i, o, n=state: {"logits": o[0], "hidden_states": [o[1], o[n]]})
        distiller = Distiller(teacher, student, Terms(matches=(Match("hidden_states", 1, 2, "spkd"),)))
        (epoch,) = distiller.fit(rows(8), folder=str(tmp_path), **(FIT | {"epochs": 1, "learning_rate": 0.0})).epochs
        losses.append(epoch["loss"])
    assert losses[0] != losses[1]


def test_targets_are_kept_in_a_folder_and_read_again(tmp_path, monkeypatch):
    teacher, student = pair()
    distiller = Distiller(teacher, student)
    distiller.fit(rows(16), folder=str(tmp_path), **FIT)
    asked, feature_model = [], TaskModel.feature_model
    monkeypatch.setattr(
        TaskModel, "feature_model", lambda self, names: asked.append(self) or feature_model(self, names)
    )
    distiller.fit(rows(16), folder=str(tmp_path), **FIT)
    assert asked == []
    distiller.fit(rows(16, seed=1), folder=str(tmp_path), **FIT)
    assert asked == [distiller.teachers[0]], "other rows ask the teacher anew"


def test_fit_that_was_stopped_goes_on_to_the_same_end(tmp_path):
    teacher, _ = pair()

    def student():
        return bert("SequenceClassification", layers=1, width=8, seed=2, dropout=0.1)

    whole = student()
    Distiller(teacher, whole).fit(rows(24), rows(8, labels=[0] * 8), metric=lambda *_: 0.5, **FIT)

    calls = []

    def stop_in_the_second_epoch(logits, features):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return 0.5

    settings = FIT | {"folder": str(tmp_path), "save_minutes": 1e-9}
    with pytest.raises(KeyboardInterrupt):
        Distiller(teacher, student()).fit(
            rows(24), rows(8, labels=[0] * 8), metric=stop_in_the_second_epoch, **settings
        )
    again = student()
    Distiller(teacher, again).fit(rows(24), rows(8, labels=[0] * 8), metric=stop_in_the_second_epoch, **settings)
    assert len(calls) == 4, "the first epoch is not scored again"
    for one, other in zip(whole.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_fit_without_a_dev_set_that_was_stopped_ends_with_the_latest_weights(tmp_path, monkeypatch):
    teacher, whole = pair()
    Distiller(teacher, whole).fit(rows(24), **FIT)
    settings = FIT | {"folder": str(tmp_path), "save_minutes": 1e-9}
    save = SnapshotManager.save

    def save_and_stop_in_the_third_epoch(keeper, snapshot):
        save(keeper, snapshot)
        if snapshot.state["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(SnapshotManager, "save", save_and_stop_in_the_third_epoch)
    with pytest.raises(KeyboardInterrupt):
        Distiller(*pair()).fit(rows(24), **settings)
    monkeypatch.undo()
    teacher, again = pair()
    history = Distiller(teacher, again).fit(rows(24), **settings)
    assert history.best_epoch == 2
    for one, other in zip(whole.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_several_workers_need_a_folder():
    with pytest.raises(ValueError, match="all 2 workers see"), kept(None, SimpleNamespace(count=2)):
        pass


def test_snapshots_of_another_batch_size_or_nameless_schedules_are_not_read_and_go_when_the_fit_is_done(
    tmp_path, monkeypatch
):
    teacher, student = pair()
    settings = FIT | {"folder": str(tmp_path), "save_minutes": 1e-9}
    nameless = Terms(hard_label_weight=1.0, hard_label_weight_schedule=lambda progress: progress)
    with pytest.raises(ValueError, match="has no name to be known by"):
        Distiller(teacher, student, nameless).fit(rows(24), **settings)
    distiller = Distiller(teacher, student)
    monkeypatch.setattr(SnapshotManager, "clear", lambda keeper: None)
    distiller.fit(rows(24), **settings)
    monkeypatch.undo()
    found, load = [], SnapshotManager.load
    monkeypatch.setattr(SnapshotManager, "load", lambda keeper: found.append(load(keeper)))
    distiller.fit(rows(24), **(settings | {"batch_size": 4}))
    assert found == [None]
    assert not (tmp_path / SNAPSHOTS).exists()


def test_what_chooses_the_weights_makes_another_fit(tmp_path):
    """A score of another kind, or of other rows, cannot be compared with the best one of a snapshot."""
    distiller, labelled = Distiller(*pair()), rows(8, labels=[0] * 8)

    def key(dev=None, metric=None, precision="float32") -> str:
        how = OutputWriterConfig(0, 8, Workers(distiller.strategy), precision=precision)
        return distiller.fit_inputs(rows(8), dev, teachers=None, metric=metric, place=str(tmp_path), how=how).key

    found = [key(), key(rows(8)), key(labelled), key(rows(8, labels=[1] * 8)), key(labelled, lambda *_: 0.5)]
    assert len({*found, key(precision="float16"), key(labelled, ends_alike)}) == 7
    assert key(labelled) == found[2]


def ends_alike(logits, features) -> float:
    return 0.5


def test_student_of_another_size_makes_another_fit(tmp_path):
    teacher, student = pair()
    students = [student, bert("SequenceClassification", layers=1, width=8, seed=2), pair()[1]]
    distillers = [Distiller(teacher, one) for one in students]
    how = OutputWriterConfig(0, 8, Workers(distillers[0].strategy))
    deep, flat, again = (
        one.fit_inputs(rows(8), None, teachers=None, metric=None, place=str(tmp_path), how=how).key
        for one in distillers
    )
    assert deep == again != flat


@pytest.mark.parametrize(
    "fit_one", [Distiller.fit, lambda one, *data, **how: fit_tasks({"a": one}, {"a": data[0]}, **how)]
)
def test_patience_is_at_least_one(fit_one):
    with pytest.raises(ValueError, match="patience is 0; it is at least 1"):
        fit_one(Distiller(*pair()), rows(8), patience=0)


def test_saved_student_stands_alone_and_projections_beside_it(tmp_path):
    teacher, student = pair()
    distiller = Distiller(teacher, student, Terms(matches="last"))
    distiller.fit(rows(16), **FIT)
    distiller.save(str(tmp_path))
    loaded = transformers.TFBertForSequenceClassification.from_pretrained(str(tmp_path))
    batch = padded(rows(4))
    np.testing.assert_allclose(loaded(batch).logits, student(batch).logits, atol=1e-6)
    assert not any("projection" in variable.name for variable in loaded.weights)
    assert Terms.from_json((tmp_path / "terms.json").read_text()) == distiller.terms

    before = [layer.kernel.numpy() for layer in distiller.projections]
    for layer in distiller.projections:
        layer.kernel.assign(tf.zeros_like(layer.kernel))
    distiller.load_projections(str(tmp_path))
    for layer, kernel in zip(distiller.projections, before, strict=True):
        np.testing.assert_array_equal(layer.kernel.numpy(), kernel)


def test_projection_has_a_learning_rate_of_its_own():
    """Adam's first update is the rate, whatever the gradient."""
    teacher, student = pair()
    match = Match("hidden_states", 3, 2, projection="linear", projection_learning_rate=0.05)
    distiller = Distiller(teacher, student, Terms(matches=(match,)))
    (layer,) = distiller.projections
    before = layer.kernel.numpy()
    distiller.fit(rows(8), epochs=1, batch_size=8, learning_rate=1e-4, warmup_ratio=0.0, lr_schedule="constant")
    assert np.median(np.abs(layer.kernel.numpy() - before)) == pytest.approx(0.05, rel=0.01)


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
    with pytest.raises(ValueError, match="steps is 9, no multiple of steps_per_epoch, 5: .* Take 10"):
        distiller.fit(rows(12), steps=9, steps_per_epoch=5)


def test_unlabelled_rows_for_gold_labels_are_refused():
    teacher, student = pair()
    with pytest.raises(ValueError, match="hard_label_weight needs gold labels"):
        Distiller(teacher, student, Terms(hard_label_weight=1.0)).fit(rows(8), **FIT)


def test_models_of_different_tasks_are_refused():
    teacher, student = pair()
    with pytest.raises(ValueError, match="models of different tasks"):
        Distiller(bert("QuestionAnswering", layers=1, width=8, seed=1), student)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("TFBertModel", "TFBertModel gives no logits: take a class with a head"),
        ("TFBertForPreTraining", "gives no logits"),
        ("TFBertForMultipleChoice", "reads several rows at once: wrap it in AdaptedModel"),
    ],
)
def test_classes_without_such_a_head_are_refused(name, message):
    _, student = pair()
    with pytest.raises(ValueError, match=message):
        Distiller(getattr(transformers, name)(student.config), student)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"lr_schedule": "linaer"}, "linaer"),
        ({"warmup_ratio": 5}, "warmup_ratio is 5; it is a share"),
        ({"weight_decay": -1}, "weight_decay is -1"),
        ({"batch_size": 0}, "batch_size is 0; it is at least 1"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps is 0"),
        ({"targets_precision": "float8"}, "float8"),
    ],
)
def test_numbers_of_a_fit_that_cannot_be(changes, message):
    distiller = Distiller(*pair())
    for fit in (distiller.fit, lambda train, **given: fit_tasks({"a": distiller}, {"a": train}, **given)):
        with pytest.raises(ValueError, match=message):
            fit(rows(4), **(FIT | changes))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"input_ids": [[1] * 17]}, "Row 0 is 17 tokens long; the student has positions for 16"),
        ({"input_ids": [[1], [WORDS]]}, "a token 40; the student has 40, counted from 0"),
        ({"input_ids": [[1], []]}, "Row 1 is empty"),
        ({"input_ids": []}, "There are no rows"),
    ],
)
def test_rows_that_a_model_cannot_read(data, message):
    with pytest.raises(ValueError, match=message):
        Distiller(*pair()).fit(data, **FIT)


# Two tokenizers


def test_words_of_two_tokenizers_meet():
    """The teacher cuts each word in two; a teacher whose ids are the student's says the same at each first token."""
    generator = np.random.default_rng(0)
    words = [generator.integers(1, WORDS, 4).tolist() for _ in range(12)]
    own = {"input_ids": words, "word_ids": [[0, 1, 2, 3]] * 12}
    twice = {
        "input_ids": [[piece for word in row for piece in (word, 39)] for row in words],
        "word_ids": [[0, 0, 1, 1, 2, 2, 3, 3]] * 12,
    }
    teacher, student = pair("TokenClassification")
    distiller = Distiller(teacher, student)
    history = distiller.fit(own, epochs=1, batch_size=12, learning_rate=1e-9, teacher_train={0: twice})
    theirs = teacher({"input_ids": np.array(twice["input_ids"])}).logits.numpy()[:, ::2]
    ours = student({"input_ids": np.array(words)}).logits.numpy()
    log_teacher, log_student = (tf.nn.log_softmax(values / 2.0).numpy() for values in (theirs, ours))
    kl = 4 * np.mean(np.sum(np.exp(log_teacher) * (log_teacher - log_student), -1))
    assert history.epochs[0]["logits"] == pytest.approx(kl, rel=1e-4)


def test_states_of_two_tokenizers_count_where_words_begin():
    """Of tokens a, b of the student's words only a has a counterpart; a group of batches is the big batch."""
    generator = np.random.default_rng(0)
    words = [generator.integers(1, WORDS, 4).tolist() for _ in range(12)]
    theirs = {"input_ids": words, "word_ids": [[0, 1, 2, 3]] * 12}
    own = {
        "input_ids": [[piece for word in row for piece in (word, 39)] for row in words],
        "word_ids": [[0, 0, 1, 1, 2, 2, 3, 3]] * 12,
    }
    teacher, student = pair("TokenClassification")
    match = Match("hidden_states", 3, 2)
    distiller = Distiller(teacher, student, Terms(matches=(match,)))
    (projection,) = distiller.projections
    state = student({"input_ids": np.array(own["input_ids"])}, output_hidden_states=True).hidden_states[2]
    target = teacher({"input_ids": np.array(words)}, output_hidden_states=True).hidden_states[3]
    expected = np.mean((projection(state).numpy()[:, ::2] - target.numpy()) ** 2)
    settings = {"epochs": 1, "learning_rate": 1e-9, "teacher_train": {0: theirs}, "targets_precision": "float32"}
    whole = distiller.fit(own, batch_size=12, **settings).epochs[0]
    parts = distiller.fit(own, batch_size=5, gradient_accumulation_steps=3, **settings).epochs[0]
    assert whole[match.name] == pytest.approx(expected, rel=1e-4)
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-4)
    with pytest.raises(ValueError, match="teacher_dev has no rows of teacher 0"):
        distiller.fit(own, own, batch_size=12, **settings)


def in_two_pieces(words: list) -> tuple[dict, dict]:
    """Rows of one token a word behind a class token, and the same words cut in two: (whole, cut)."""
    count = len(words[0])
    whole = {"input_ids": [[1, *row] for row in words], "word_ids": [[None, *range(count)]] * len(words)}
    cut = {
        "input_ids": [[1, *(piece for word in row for piece in (word, 39))] for row in words],
        "word_ids": [[None, *np.repeat(range(count), 2).tolist()]] * len(words),
    }
    return whole, cut


def test_states_of_texts_in_two_tokenizers_meet_at_words(tmp_path, monkeypatch):
    own, theirs = in_two_pieces(np.random.default_rng(0).integers(2, WORDS, (12, 4)).tolist())
    labels = {"labels": [0, 1, 2] * 4}
    teacher, student = pair()
    match = Match("hidden_states", 3, 2)
    distiller = Distiller(teacher, student, Terms(matches=(match,)))
    (projection,) = distiller.projections
    state = student({"input_ids": np.array(own["input_ids"])}, output_hidden_states=True).hidden_states[2]
    given = {"input_ids": np.array(theirs["input_ids"])}
    target = teacher(given, output_hidden_states=True).hidden_states[3]
    expected = np.mean((projection(state).numpy()[:, 1:] - target.numpy()[:, 1::2]) ** 2)
    settings = {"epochs": 1, "batch_size": 12, "learning_rate": 1e-9, "targets_precision": "float32"}
    found = distiller.fit(own | labels, teacher_train={0: theirs}, **settings).epochs[0]
    assert found[match.name] == pytest.approx(expected, rel=1e-4)
    log_teacher, log_student = (
        tf.nn.log_softmax(model(batch).logits / 2.0).numpy()
        for model, batch in ((teacher, given), (student, {"input_ids": np.array(own["input_ids"])}))
    )
    kl = 4 * np.mean(np.sum(np.exp(log_teacher) * (log_teacher - log_student), -1))
    assert found["logits"] == pytest.approx(kl, rel=1e-4)
    with pytest.raises(ValueError, match="give both sides word_ids"):
        distiller.fit({"input_ids": own["input_ids"]}, teacher_train={0: theirs}, **settings)
    asked, feature_model = [], TaskModel.feature_model
    monkeypatch.setattr(TaskModel, "feature_model", lambda self, names: asked.append(1) or feature_model(self, names))
    for calls in (1, 1):  # the second time its outputs are there
        again = distiller.fit(own | labels, teacher_train={0: theirs}, folder=str(tmp_path), **settings).epochs[0]
        assert len(asked) == calls
        assert again["loss"] == pytest.approx(found["loss"], rel=1e-5)


@pytest.mark.parametrize("task", TAGGING_FIRST)
def test_rows_of_two_tokenizers_may_be_of_many_lengths(task):
    """Another width in nearly every batch, of which a dev set has its own."""
    sides = [in_two_pieces([row[:7]]) for row in rows(12)["input_ids"]]  # at most 15 tokens; there are 16 positions
    own, theirs = ({name: [side[n][name][0] for side in sides] for name in sides[0][n]} for n in (0, 1))
    distiller = Distiller(*pair(task), Terms(matches=(Match("hidden_states", 3, 2),)))
    settings = {"teacher_train": {0: theirs}, "teacher_dev": {0: theirs}}
    history = distiller.fit(own, own, **settings, **(FIT | {"batch_size": 2, "epochs": 2}))
    assert history.epochs[1]["loss"] < history.epochs[0]["loss"]


def test_first_positions_of_two_tokenizers_are_no_pair():
    own, theirs = in_two_pieces([[2, 3], [4, 5]])
    distiller = Distiller(*pair("TokenClassification"), Terms(matches=(Match("hidden_states", 3, 2, "pkd"),)))
    with pytest.raises(ValueError, match="pkd compares first positions"):
        distiller.fit(own, teacher_train={0: theirs}, **FIT)


@pytest.mark.parametrize("task", TASKS[:2])
def test_two_tokenizers_without_words_are_refused(task):
    distiller = Distiller(*pair(task), Terms(matches=(Match("hidden_states", 3, 2),)))
    with pytest.raises(ValueError, match="the teacher 3"):
        distiller.fit(rows(4), teacher_train={0: rows(3)}, **FIT)
    with pytest.raises(ValueError, match="give both sides word_ids"):
        distiller.fit(rows(4), teacher_train={0: rows(4)}, **FIT)


# Spans


def span_logits(model, batch: dict) -> tuple:
    outputs = model(batch)
    return outputs.start_logits.numpy(), outputs.end_logits.numpy()


@pytest.mark.parametrize("loss", ["soft_label_kl", "soft_label_ce", "logit_standardized_kl"])
def test_softmax_of_spans_is_over_the_real_positions_of_a_row(loss):
    teacher, student = pair("QuestionAnswering")
    data = rows(6)
    distiller = Distiller(teacher, student, Terms(SoftLabels(loss, temperature=3.0)))
    (epoch,) = distiller.fit(data, epochs=1, batch_size=6, learning_rate=1e-9).epochs
    batch, lengths = padded(data), [len(row) for row in data["input_ids"]]
    sides = zip(span_logits(teacher, batch), span_logits(student, batch), strict=True)
    for name, (theirs, ours) in zip(("start_logits", "end_logits"), sides, strict=True):
        alone = [
            LOSSES[loss](teacher=theirs[row : row + 1, :length], student=ours[row : row + 1, :length], temperature=3.0)
            for row, length in enumerate(lengths)
        ]
        assert epoch[name] == pytest.approx(float(np.mean(alone)), rel=1e-3)


@pytest.mark.parametrize("loss", ["logits_mse", "soft_label_bce"])
def test_spans_are_compared_position_by_position_by_losses_without_a_softmax(loss):
    teacher, student = pair("QuestionAnswering")
    data = rows(6)
    (epoch,) = (
        Distiller(teacher, student, Terms(SoftLabels(loss)))
        .fit(data, epochs=1, batch_size=6, learning_rate=1e-9)
        .epochs
    )
    batch = padded(data)
    real = batch["attention_mask"] > 0
    theirs, ours = (span_logits(model, batch)[0][real][:, None] for model in (teacher, student))
    assert epoch["start_logits"] == pytest.approx(float(LOSSES[loss](teacher=theirs, student=ours)), rel=1e-3)


def test_temperatures_of_spans_do_not_see_padding():
    """One row alone and beside a longer one: its cosine, so its temperature, is the same."""
    logits = tf.constant([[1.0, 2.0, -1.0]]), tf.constant([[2.0, 0.0, 1.0]])
    wide = [tf.concat([one, [[EXCLUDED] * 4]], axis=1) for one in logits]
    rows_of = [tf.concat([one, tf.ones([1, one.shape[1]])], axis=0) for one in logits]
    wide_rows = [tf.concat([one, tf.concat([tf.ones([1, 3]), [[EXCLUDED] * 4]], 1)], axis=0) for one in wide]
    found = [
        parse_temperature_schedule("flsw:1,1")(teacher=teacher, student=student, temperature=4.0).numpy()
        for teacher, student in (rows_of, wide_rows)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0][0] < 4 < found[0][1]


def test_spans_of_two_tokenizers_compete_where_words_begin():
    own, theirs = in_two_pieces(np.random.default_rng(0).integers(2, WORDS, (6, 4)).tolist())
    teacher, student = pair("QuestionAnswering")
    distiller = Distiller(teacher, student, Terms(SoftLabels("soft_label_kl")))
    settings = {"epochs": 1, "batch_size": 6, "learning_rate": 1e-9}
    (epoch,) = distiller.fit(own, teacher_train={0: theirs}, **settings).epochs
    starts = span_logits(teacher, {"input_ids": np.array(theirs["input_ids"])})[0][:, 1::2]
    found = span_logits(student, {"input_ids": np.array(own["input_ids"])})[0][:, 1:]
    expected = LOSSES["soft_label_kl"](teacher=starts, student=found)
    assert epoch["start_logits"] == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize(
    ("task", "soft_labels", "message"),
    [
        ("QuestionAnswering", SoftLabels("dist"), "dist correlates rows by label"),
        ("QuestionAnswering", SoftLabels("soft_label_kl", probability_shift=True), "probability_shift: gold labels"),
        (
            "QuestionAnswering",
            SoftLabels("logits_mse", temperature_of=parse_temperature_schedule("flsw:1,1")),
            "each a number for itself",
        ),
        ("scores", SoftLabels("soft_label_kl"), "whose softmax is always 1"),
    ],
)
def test_soft_labels_that_a_task_has_no_use_for(task, soft_labels, message):
    kind, labels = ("SequenceClassification", 1) if task == "scores" else (task, LABELS)
    models = [bert(kind, layers=1, width=8, seed=seed, labels=labels) for seed in (1, 2)]
    with pytest.raises(ValueError, match=message):
        Distiller(*models, Terms(soft_labels))


def test_two_tokenizers_without_a_word_in_common_are_refused():
    sides = [{"input_ids": [[3, 4]], "word_ids": [words]} for words in ([0, 1], [7, 8])]
    with pytest.raises(ValueError, match="No row of the student's has a word of the teacher's"):
        Distiller(*pair("TokenClassification")).fit(sides[0], teacher_train={0: sides[1]}, **FIT)


def meetings(texts: list, folders: list[str], **how) -> list[tuple[str, str]]:
    """Pieces of the student's tokenizer that have a counterpart, and that."""
    tokenizers = [transformers.AutoTokenizer.from_pretrained(folder, add_prefix_space=True) for folder in folders]
    sides = [encoded_rows(tokenizer(*texts, **how), by_position=False) for tokenizer in tokenizers]
    (own, words), (theirs, their_words) = sides
    source = aligned_outputs(own, SimpleNamespace(features=theirs, arrays={}), words, their_words).source
    found = [(own.input_ids[place], theirs.input_ids[other]) for place, other in enumerate(source) if other >= 0]
    return [tuple(tokenizers[side].convert_ids_to_tokens(int(pair[side])) for side in (0, 1)) for pair in found]


def test_words_of_real_tokenizers_meet_or_are_refused(word_piece_folder, byte_level_folder):
    folders = [word_piece_folder, byte_level_folder]
    texts = ["the cats don't mind", "the big dog", "the cat"]
    with pytest.raises(ValueError, match=r"Row 0 has 6 words by the student's tokenizer and 5 by the teacher's"):
        meetings([texts], folders)
    split = {"is_split_into_words": True}
    met = meetings([[text.split() for text in texts]], folders, **split)
    assert len(met) == 9 and all(theirs.startswith("Ġ") for _, theirs in met), "first tokens of words"
    both = meetings([["the cat"], ["big dog"]], folders)
    assert [pair[0] for pair in both] == ["the", "cat", "big", "dog"] and both[2][1].startswith("Ġb")
    meetings([["the big dog don't"] * 2], folders, truncation=True, max_length=5)  # cut short before they differ


# With an adaptor


def recurrent(width: int = 6):
    inputs = {name: tf_keras.Input((None,), dtype=tf.int32, name=name) for name in ("input_ids", "attention_mask")}
    states = tf_keras.layers.Embedding(WORDS, width)(inputs["input_ids"])
    mask = tf_keras.layers.Lambda(lambda marks: marks > 0)(inputs["attention_mask"])
    top = tf_keras.layers.GRU(width, return_sequences=True)(states, mask=mask)
    return tf_keras.Model(inputs, [tf_keras.layers.Dense(LABELS)(top), states, top])


def explain(inputs, outputs):
    logits, embeddings, top = outputs
    return {"logits": logits, "hidden_states": [embeddings, top]}


def test_adaptor_says_which_logits_count():
    """Those of odd tokens; matches count everywhere."""
    teacher, _ = pair("TokenClassification")
    model = recurrent()

    def masked(inputs, outputs):
        return explain(inputs, outputs) | {"logits_mask": inputs["input_ids"] % 2}

    match, data = Match("hidden_states", 0, 0), rows(6)
    student = AdaptedModel(model, masked)
    distiller, batch = Distiller(teacher, student, Terms(matches=(match,))), padded(data)
    plain = Distiller(teacher, AdaptedModel(model, explain), Terms(matches=(match,)))
    plain.projections[0].set_weights(distiller.projections[0].get_weights())
    odd = (batch["attention_mask"] > 0) & (batch["input_ids"] % 2 == 1)
    logits = [teacher(batch).logits.numpy()[odd], model(batch)[0].numpy()[odd]]
    kl = LOSSES["soft_label_kl"](teacher=logits[0], student=logits[1], temperature=2.0)
    sizes = {"batch_size": 4, "gradient_accumulation_steps": 2}
    found, whole = (one.fit(data, rows(4), **(ONE_STEP | sizes)).epochs[0] for one in (distiller, plain))
    assert found["logits"] == pytest.approx(float(kl), rel=1e-4)
    assert found["logits"] != pytest.approx(whole["logits"], rel=1e-2)
    assert found[match.name] == pytest.approx(whole[match.name], rel=1e-4)
    with pytest.raises(ValueError, match="hangs on the model's weights"):
        AdaptedModel(model, lambda i, o: explain(i, o) | {"logits_mask": o[0][..., 0]})
    even = AdaptedModel(model, lambda i, o: explain(i, o) | {"logits_mask": 0 * i["input_ids"]})
    with pytest.raises(ValueError, match="leaves no position"):
        Distiller(teacher, even).fit(data, **ONE_STEP)


def test_keras_model_with_an_adaptor_is_a_student():
    teacher, _ = pair("TokenClassification")
    student = AdaptedModel(recurrent(), explain)
    distiller = Distiller(teacher, student, Terms(matches="last"))
    losses = [epoch["loss"] for epoch in distiller.fit(rows(40), **FIT).epochs]
    assert losses[-1] < losses[0]
    assert distiller.predict(rows(3))[0].shape[-1] == LABELS


@pytest.mark.parametrize(
    ("adapted", "message"),
    [
        (lambda i, o: {"logits": o[0], "hiden_states": o[1:]}, "Did you mean hidden_states"),
        (lambda i, o: {"logits": o[0], "hidden_states": o[1]}, "one tensor; a list is expected"),
        (lambda i, o: {"logits": o[0], "attentions": o[1:]}, "4 axes are expected"),
        (lambda i, o: {"hidden_states": o[1:]}, "gives no logits"),
        (lambda i, o: {"logits": o[0][..., 0]}, "the last axis of a fixed size"),
        (lambda i, o: {"logits": o[0][..., None]}, r"\[B, L\] of rows or \[B, S, L\] of positions"),
        (lambda i, o: {"logits": {"start_logits": o[0][..., 0]}}, r"\[B, S, 1\] are expected"),
        (lambda i, o: {"logits": {"tags": o[0], "text": o[0][:, 0]}}, "all of one model alike"),
        (lambda i, o: {"logits": o[0][:, 0], "logits_mask": i["input_ids"]}, "Where the logits are of rows"),
    ],
)
def test_adaptor_that_is_wrong(adapted, message):
    with pytest.raises(ValueError, match=message):
        AdaptedModel(recurrent(), adapted)


# Settings


def test_terms_survive_json():
    terms = Terms(
        SoftLabels("soft_label_ce", temperature=4.0, options={"t_squared": False}),
        (Match("hidden_states", (1, 2), (0, 1), "nst", 0.5, weight_schedule="linear_decay"),),
        hard_label_weight=0.3,
        teacher_weights=(1.0, 2.0),
        combine="losses",
    )
    assert Terms.from_json(terms.to_json()) == terms


@pytest.mark.parametrize("schedule", ["flsw:1,2", "cwsm:0.5"])
def test_terms_with_temperatures_by_position_survive_json(schedule):
    temperatures = parse_temperature_schedule(schedule)
    terms = Terms(SoftLabels("soft_label_kl", temperature_of=dataclasses.replace(temperatures, min_temperature=0.5)))
    assert Terms.from_json(terms.to_json()) == terms
    short = Terms.from_json(json.dumps({"soft_labels": {"temperature_of": schedule}}))
    assert short.soft_labels.temperature_of == temperatures


@pytest.mark.parametrize(
    "terms",
    [
        Terms(SoftLabels(temperature_of=lambda **_: 1.0)),
        Terms(SoftLabels(weight_schedule=lambda progress: progress)),
        Terms(matches=(Match("hidden_states", 1, 1, weight_schedule=lambda progress: progress),)),
    ],
)
def test_functions_of_ones_own_have_no_json(terms):
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        terms.to_json()


def test_terms_without_soft_labels_take_those_of_the_students_problem():
    terms = Terms(hard_label_weight=1.0)
    assert Terms.from_json(terms.to_json()) == terms
    losses = {problem: terms.for_problem(problem).soft_labels.loss for problem in (*PROBLEM_TYPES, SPAN)}
    assert losses == {
        "single_label_classification": "soft_label_kl",
        "multi_label_classification": "soft_label_bce",
        "regression": "logits_mse",
        "question_answering": "soft_label_kl",
    }


def test_matches_in_json_may_be_written_as_people_and_textbrewer_do():
    written = {"feature": "values", "teacher": 3, "student": 1, "loss": "relation_kl", "relation_heads": 2}
    terms = Terms.from_json(json.dumps({"matches": [hidden([0, 0], [0, 0], "mmd"), written]}))
    assert terms.matches == (
        Match("hidden_states", (0, 0), (0, 0), "nst", projection="none"),
        Match("values", 3, 1, "relation_kl", options={"relation_heads": 2}),
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"soft_label": {}}',
        '{"soft_labels": {"temprature": 2}}',
        '{"soft_labels": {"temperature_of": {"name": "flws", "beta": 1}}}',
        '{"soft_labels": {"temperature_of": {"name": "cwsm", "bets": 1}}}',
        '{"matches": [{"layer_T": 1, "layer_S": 1, "feature": "hidden", "loss": "hidden_mes", "weight": 1}]}',
    ],
)
def test_unknown_name_in_json_is_refused_with_a_hint(text):
    with pytest.raises(ValueError, match="Did you mean"):
        Terms.from_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "a mapping of names to values; this is a list"),
        ('{"soft_labels": {"temperature": "4"}}', "temperature is '4'"),
        ('{"hard_label_weight": "1"}', "hard_label_weight is '1'"),
    ],
)
def test_terms_of_other_kinds_in_json_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Terms.from_json(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"soft_labels": SoftLabels(weight=0), "matches": (Match("values", 1, 1, "rkd", 0.0),)}, "nothing to learn"),
        ({"matches": (Match("hidden_states", 1, 1), Match("hidden_states", 1, 1, weight=2.0))}, "is there twice"),
        ({"combine": "probability"}, "Did you mean probabilities"),
        ({"combine": "probabilities", "soft_labels": SoftLabels("logits_mse")}, "logits_mse is not of these"),
        (
            {
                "combine": "probabilities",
                "soft_labels": SoftLabels("soft_label_kl", temperature_of=parse_temperature_schedule("cwsm:1")),
            },
            "is of distributions at one temperature",
        ),
        ({"hard_label_weight": float("nan")}, "hard_label_weight is nan"),
        ({"hard_label_weight_schedule": "linear"}, "no weight schedule"),
        ({"matches": "unifrom"}, "Did you mean uniform"),
        ({"matches": "0:0,1:x"}, "is not written as student:teacher"),
        ({"matches": "0:0,0:1"}, "names a layer of the student twice"),
    ],
)
def test_terms_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        Terms(**settings)


def test_textbrewers_configuration_is_read_as_it_stands():
    config = {
        "temperature": 8,
        "hard_label_weight": 0.2,
        "kd_loss_type": "ce",
        "temperature_scheduler": ["flsw", 1, 2],
        "kd_loss_weight_scheduler": "linear_decay",
        "probability_shift": True,
        "intermediate_matches": [
            hidden(8, 2, "hidden_mse") | {"proj": ["linear", 3, 7]},
            hidden([0, 0], [0, 0], "mmd"),
            {"layer_T": 4, "layer_S": 1, "feature": "attention", "loss": "attention_mse_sum", "weight": 2},
        ],
    }
    terms = Terms.from_textbrewer(json.loads(json.dumps(config)))
    assert Terms.from_json(json.dumps(config)) == terms
    assert Terms.from_json(terms.to_json()) == terms
    assert terms.soft_labels.options == {"t_squared": False}
    assert terms.soft_labels.weight_schedule == "linear_decay"
    assert terms.soft_labels.temperature_of.gamma == 2
    assert terms.matches == (
        Match("hidden_states", 8, 2, projection="linear"),
        Match("hidden_states", (0, 0), (0, 0), "nst", projection="none"),
        Match("attention_scores", 4, 1, "attention_mse_sum", 2.0, projection="none", options={"compat": True}),
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"temperture": 2}, "Did you mean temperature"),
        ({"kd_loss_type": "kl"}, 'no kd_loss_type "kl"'),
        ({"intermediate_matches": [hidden(1, 1, "hidden_mes")]}, "Did you mean hidden_mse"),
        ({"temperature_scheduler": "flsw"}, "is not written as flsw:BETA,GAMMA"),
        ({"temperature_scheduler": ["flws", 1, 1]}, "Did you mean flsw"),
        ({"temperature_scheduler": ["flsw", {"beta": 1, "gama": 2}]}, "Did you mean gamma"),
        ({"temperature_scheduler": ["flsw", {"beta": 1}]}, "flsw has no gamma"),
        ({"hard_label_weight_scheduler": "linear_grow"}, "Did you mean linear_growth"),
        ({"intermediate_matches": [hidden(1, 1, "cos") | {"proj": ["linear", 3, 7, {"weight_decay": 1}]}]}, "are: lr"),
        ({"intermediate_matches": [hidden(1, 1, "cos") | {"proj": ["linaer", 3, 7]}]}, "Did you mean linear"),
        ({"intermediate_matches": [hidden(1, 1, "cos") | {"proj": ["linear", {"lr": 1}]}]}, "it is written as .kind,"),
        ({"intermediate_matches": [hidden(1, 1, "cos") | {"proj": "linear"}]}, "it is written as .kind,"),
    ],
)
def test_textbrewers_configuration_with_a_typo(config, message):
    with pytest.raises(ValueError, match=message):
        Terms.from_textbrewer(config)


def test_numbers_of_textbrewers_temperatures_are_read_by_name_in_any_order():
    expected = Terms.from_textbrewer({"temperature_scheduler": ["flsw", 1, 2]})
    named = Terms.from_textbrewer({"temperature_scheduler": ["flsw", {"gamma": 2, "beta": 1}]})
    assert named == expected and named.soft_labels.temperature_of.gamma == 2


def test_attention_of_textbrewers_own_matches_counts_from_one():
    entries = [
        {"layer_T": teacher, "layer_S": student, "feature": "attention", "loss": "attention_mse", "weight": 1}
        for teacher, student in ((4, 1), (8, 2), (12, 3))
    ]
    config = {"intermediate_matches": [*entries, hidden(12, 3, "hidden_mse")]}
    matches = Terms.from_textbrewer(config, first_attention=1).matches
    assert [(match.teacher, match.student) for match in matches] == [(3, 0), (7, 1), (11, 2), (12, 3)]
    entries[0]["layer_S"] = 0
    with pytest.raises(ValueError, match="Attention 0 is the dummy"):
        Terms.from_textbrewer(config, first_attention=1)


@pytest.mark.parametrize(
    ("base", "schedule", "expected"),
    [
        (0, "linear_growth", [0, 0.25, 0.5, 0.75]),
        (5, "linear_decay", [5, 0.75, 0.5, 0.25]),
        (1, "linear_decay", [1, 0.75, 0.5, 0.25]),
        (0.3, "none", [0.3, 0.3, 0.3, 0.3]),
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


def test_public_names_are_there():
    assert xtremedistil.Distiller is Distiller
    assert xtremedistil.Terms is Terms


# Several tasks


def test_tasks_with_one_encoder_learn_together(tmp_path):
    """Heads differ, the encoder is one object; each head and the encoder change, each task is scored."""
    kinds = ("TokenClassification", "SequenceClassification")
    students = [bert(kind, layers=1, width=8, seed=seed) for seed, kind in enumerate(kinds)]
    share_encoder(*students)
    assert students[0].bert.encoder is students[1].bert.encoder
    tasks = ["tags", "texts"]
    teachers = [bert(kind, layers=2, width=16, seed=5) for kind in kinds]
    pairs = zip(tasks, teachers, students, strict=True)
    distillers = {task: Distiller(teacher, student) for task, teacher, student in pairs}
    before = [[variable.numpy() for variable in student.weights] for student in students]
    data = {"tags": rows(24), "texts": rows(16, seed=1)}
    history = fit_tasks(distillers, data, data, epochs=3, batch_size=8, learning_rate=0.01, tau=0.5)
    first, last = history.epochs[0], history.epochs[-1]
    for task in tasks:
        assert last[f"{task}/logits"] < first[f"{task}/logits"]
    for student, values in zip(students, before, strict=True):
        changed = [not np.array_equal(new.numpy(), old) for new, old in zip(student.weights, values, strict=True)]
        assert changed[-1] and changed[0]
    for task, student in zip(tasks, students, strict=True):
        distillers[task].save(str(tmp_path / task))
        again = type(student).from_pretrained(tmp_path / task)
        np.testing.assert_allclose(again(padded(rows(4))).logits, student(padded(rows(4))).logits, atol=1e-6)


@pytest.mark.slow
def test_tasks_that_were_stopped_go_on_to_the_same_end(tmp_path, monkeypatch):
    """The draw of tasks, the place in each, dropout of what they share, and weights that fall with training."""
    terms = Terms(SoftLabels("soft_label_kl", weight_schedule="linear_decay"))
    teachers = [bert("SequenceClassification", layers=1, width=8, seed=seed) for seed in (5, 6)]

    def run(**settings):
        students = [bert("SequenceClassification", layers=1, width=8, seed=seed, dropout=0.1) for seed in (0, 1)]
        share_encoder(*students)
        distillers = {task: Distiller(*pair, terms) for task, *pair in zip("ab", teachers, students, strict=True)}
        data = {"a": rows(24), "b": rows(16, seed=1)}
        fit_tasks(distillers, data, epochs=2, batch_size=8, learning_rate=0.01, tau=0.5, **settings)
        return [variable.numpy() for student in students for variable in student.weights]

    whole, save = run(), SnapshotManager.save

    def save_and_stop(keeper, snapshot):
        save(keeper, snapshot)
        if (snapshot.state["epoch"], snapshot.state["step"]) == (1, 2):
            raise KeyboardInterrupt

    monkeypatch.setattr(SnapshotManager, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run(folder=str(tmp_path), save_minutes=1e-9)
    monkeypatch.undo()
    for one, other in zip(whole, run(folder=str(tmp_path), save_minutes=1e-9), strict=True):
        np.testing.assert_array_equal(one, other)


def test_encoders_that_would_be_built_otherwise_are_not_shared():
    one, other = (bert("SequenceClassification", layers=1, width=8, seed=seed) for seed in (1, 2))
    other.config.hidden_act, other.config.hidden_dropout_prob = "relu", 0.3
    with pytest.raises(ValueError, match="differ in hidden_act. Build both"):
        share_encoder(one, other)


def test_tasks_are_drawn_by_size_to_the_power_of_tau():
    """1,600 and 400 rows: 4 to 1 by size, 2 to 1 with tau 0.5."""
    tasks = {name: TrainingBatches(toy_features(count), 1, 0, 0) for name, count in (("big", 1600), ("small", 400))}
    for tau, share in ((1.0, 4 / 5), (0.5, 2 / 3), (0.0, 1 / 2)):
        batches = TaskBatches(tasks, tau, seed=1)
        assert batches.steps == 2000
        found = np.mean([np.array(batches.order(epoch)) == "big" for epoch in range(10)])
        assert found == pytest.approx(share, abs=0.02)
        assert batches.done(1, 3)["big"] == [*batches.order(0), *batches.order(1)[:3]].count("big")


def test_tasks_take_what_a_fit_takes():
    """The parts of a step are the step; one task trains its classifier alone, and is scored as it is asked to be."""

    def run(**settings):
        students = {
            task: bert("SequenceClassification", layers=1, width=8, seed=seed) for seed, task in enumerate("ab")
        }
        distillers = {task: Distiller([teacher, other], student) for task, student in students.items()}
        before = {name: _now(students["a"], name) for name in (variable.name for variable in students["a"].weights)}
        data = {"a": rows(16), "b": rows(16, seed=1)}
        own = {
            "trained": {"a": ["classifier"]},
            "metric": {"a": lambda *_: 4.0, "b": lambda *_: 1.0},
            "teachers": {"a": [0]},
        }
        history = fit_tasks(distillers, data, data, steps=4, steps_per_epoch=2, learning_rate=0.01, **own, **settings)
        changed = [name for name, value in before.items() if not np.array_equal(value, _now(students["a"], name))]
        return history, changed

    teacher, other = (bert("SequenceClassification", layers=1, width=8, seed=seed) for seed in (5, 6))
    whole, changed = run(batch_size=8)
    parts, _ = run(batch_size=4, gradient_accumulation_steps=2)
    assert len(whole.epochs) == 2
    assert changed
    assert all("classifier" in name for name in changed)
    for one, two in zip(whole.epochs, parts.epochs, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert one["score"] == two["score"] == 2.5
    with pytest.raises(ValueError, match='no task of metric "c"'):
        fit_tasks({"a": Distiller(teacher, other)}, {"a": rows(4)}, metric={"c": lambda *_: 0.0})


def test_tasks_that_differ_are_refused():
    teacher, student = pair()
    with pytest.raises(ValueError, match="train has the tasks b"):
        fit_tasks({"a": Distiller(teacher, student)}, {"b": rows(4)})


# Students of model folders


def test_student_of_a_model_folder_is_trained_on_and_saved_as_one(distilled, tmp_path):
    from xtremedistil.models.student_folder import restore_student

    folder = str(distilled / "student")
    student = restore_student(folder)
    labels = student.head.units
    teacher = bert("TokenClassification", layers=2, width=16, seed=1, labels=labels)
    before = student.head.kernel.numpy()
    data = {"input_ids": [[2, 7, 8, 3]] * 8}
    Distiller(teacher, student).fit(data, epochs=1, batch_size=8, learning_rate=0.01)
    assert not np.array_equal(student.head.kernel.numpy(), before)
    with pytest.raises(ValueError, match="Give like="):
        Distiller(teacher, student).save(str(tmp_path))
    Distiller(teacher, student).save(str(tmp_path), like=folder)
    again = xtremedistil.load_student(str(tmp_path))
    batch = {name: tf.constant(array) for name, array in padded(data).items()}
    batch |= {"token_type_ids": tf.zeros_like(batch["input_ids"])}
    np.testing.assert_array_equal(again(batch)["logits"], student.model(batch)["logits"])
    assert xtremedistil.load_predictor(str(tmp_path))(["the cat sat"])
