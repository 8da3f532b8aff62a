"""Terms, models and settings of a fit that a `Distiller` refuses."""

from types import SimpleNamespace

import pytest

from tests.distillation.distiller.models import (
    FIT,
    LABELS,
    ONE_STEP,
    TASKS,
    bert,
    pair,
    recurrent,
    rows,
    tf,
    transformers,
)
from xtremedistil.distillation.distiller.distiller import Distiller, kept
from xtremedistil.distillation.distiller.multi_task import fit_tasks
from xtremedistil.models.adapters import AdaptedModel
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import SoftLabels, parse_temperature_schedule
from xtremedistil.terms.terms import Terms


def test_match_below_all_that_is_trained_is_refused():
    """Its projection alone would learn."""
    distiller = Distiller(*pair(), Terms(matches=(Match("hidden_states", 3, 2),)))
    with pytest.raises(ValueError, match="hidden_states_hidden_mse_3_2: this would train nothing"):
        distiller.fit(rows(8), trained=["classifier"], **ONE_STEP)
    with pytest.raises(ValueError, match="Task a: hidden_states"):
        fit_tasks({"a": distiller}, {"a": rows(8)}, trained={"a": ["classifier"]}, epochs=1)


@pytest.mark.slow
def test_maps_that_a_student_returns_after_dropout_are_refused():
    student = bert("SequenceClassification", layers=2, width=8, seed=2, dropout=0.1)
    maps = Terms(matches=(Match("attentions", 1, 1, "attention_mse"),))
    with pytest.raises(ValueError, match="attention_probs_dropout_prob is 0.1.*, or match attention_scores"):
        Distiller(pair()[0], student, maps)
    scores = Terms(matches=(Match("attention_scores", 1, 1, "attention_mse"),))
    assert Distiller(pair()[0], student, scores).fit(rows(4), **ONE_STEP).epochs


@pytest.mark.slow
def test_teachers_without_a_part_in_any_term_are_refused():
    teacher, student = pair()
    of_the_first = Terms(SoftLabels(weight=0.0), matches=(Match("hidden_states", 3, 2),))
    for distiller, teachers in (
        (Distiller(teacher, student), []),
        (Distiller([teacher] * 2, student, of_the_first), [1]),
    ):
        with pytest.raises(ValueError, match=rf"teachers=\{teachers} leaves nothing to learn"):
            distiller.fit(rows(8), teachers=teachers, **ONE_STEP)


@pytest.mark.slow
def test_state_that_an_adaptor_cuts_off_is_refused():
    teacher, _ = pair("TokenClassification")

    def cut(inputs, outputs):
        logits, embeddings, top = outputs
        return {"logits": logits, "hidden_states": [embeddings, tf.stop_gradient(top)]}

    matches = (Match("hidden_states", 3, 1), Match("hidden_states", 0, 0))
    with pytest.raises(ValueError, match="^hidden_states_hidden_mse_3_1: this would"):
        Distiller(teacher, AdaptedModel(recurrent(), cut), Terms(matches=matches)).fit(rows(8), **ONE_STEP)


@pytest.mark.slow
def test_flow_on_the_host_cannot_be_compiled():
    distiller = Distiller(*pair(), Terms(matches="emd"))
    for fit in (distiller.fit, lambda train, **how: fit_tasks({"a": distiller}, {"a": train}, **how)):
        with pytest.raises(ValueError, match='jit_compile: .* is computed on the host.* Take the solver "sinkhorn"'):
            fit(rows(8), jit_compile=True)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "soft_labels", "message"),
    [
        ("QuestionAnswering", SoftLabels("dist"), "dist correlates rows by label"),
        (
            "QuestionAnswering",
            SoftLabels("soft_label_kl", probability_shift=True),
            "probability_shift is only for models",
        ),
        (
            "QuestionAnswering",
            SoftLabels("logits_mse", temperature_of=parse_temperature_schedule("flsw:1,1")),
            "are single numbers",
        ),
        ("scores", SoftLabels("soft_label_kl"), "whose softmax is always 1"),
    ],
)
def test_soft_labels_that_a_task_has_no_use_for(task, soft_labels, message):
    kind, labels = ("SequenceClassification", 1) if task == "scores" else (task, LABELS)
    models = [bert(kind, layers=1, width=8, seed=seed, labels=labels) for seed in (1, 2)]
    with pytest.raises(ValueError, match=message):
        Distiller(*models, Terms(soft_labels))


def test_teacher_of_other_labels_is_refused():
    _, student = pair()
    with pytest.raises(ValueError, match="Teacher 0 has 5 logits per row or token, the student 3"):
        Distiller(bert("SequenceClassification", layers=1, width=8, seed=1, labels=5), student)


@pytest.mark.slow
def test_labels_of_rows_and_of_positions_are_no_pair():
    for kinds in (TASKS[:2], TASKS[1::-1]):
        with pytest.raises(ValueError, match=r"Teacher 0 gives logits \(None, .*one labels rows, the other"):
            Distiller(*(bert(kind, layers=1, width=8, seed=1) for kind in kinds))


def test_models_of_different_tasks_are_refused():
    teacher, student = pair()
    with pytest.raises(ValueError, match="for different tasks"):
        Distiller(bert("QuestionAnswering", layers=1, width=8, seed=1), student)


@pytest.mark.slow
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


def test_name_of_no_variable(untrained):
    with pytest.raises(ValueError, match="no variables in encodr"):
        untrained.fit(rows(8), trained=["encodr"], **FIT)
    with pytest.raises(ValueError, match="no variables in bert/encoder/layer_"):
        untrained.fit(rows(8), trained=["bert/encoder/layer_"], **FIT)
    with pytest.raises(ValueError, match=r"list of one or several prefixes of names: \['classifier'\]"):
        untrained.fit(rows(8), trained="classifier", **FIT)


def test_several_workers_need_a_folder():
    with pytest.raises(ValueError, match="all 2 workers see"), kept(None, SimpleNamespace(count=2)):
        pass


@pytest.mark.parametrize(
    "fit_one", [Distiller.fit, lambda one, *data, **how: fit_tasks({"a": one}, {"a": data[0]}, **how)]
)
def test_patience_is_at_least_one(untrained, fit_one):
    with pytest.raises(ValueError, match="patience is 0; it is a whole number of at least 1"):
        fit_one(untrained, rows(8), patience=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"lr_schedule": "linaer"}, "linaer"),
        ({"warmup_ratio": 5}, "warmup_ratio is 5.0; it is a finite number from 0 to 1"),
        ({"weight_decay": -1}, "weight_decay is -1"),
        ({"batch_size": 0}, "batch_size is 0; it is a whole number of at least 1"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps is 0"),
        ({"targets_precision": "float8"}, "float8"),
    ],
)
def test_numbers_of_a_fit_that_cannot_be(untrained, changes, message):
    for fit in (untrained.fit, lambda train, **given: fit_tasks({"a": untrained}, {"a": train}, **given)):
        with pytest.raises(ValueError, match=message):
            fit(rows(4), **(FIT | changes))
