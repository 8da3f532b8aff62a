"""Heads for words, students made of layers, and student and teacher as one model."""

import numpy as np
import pytest

import xtremedistil  # noqa: F401 - chooses legacy Keras
from tests.model_fixtures import (
    STUDENTS,
    masked_lm_state,
    open_language_model,
    pytorch_state,
    rows,
    shaken_encoder,
    shaken_masked_lm,
    slow,
    tiny_config,
    write_checkpoint,
)
from xtremedistil.augmentation.masked_lm import load_masked_lm
from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import FAMILIES
from xtremedistil.models.checkpoints.pretrained import new_encoder_from_config
from xtremedistil.models.layer_initialization import parse_layers, pick_layers
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.terms.terms import Terms

tf = pytest.importorskip("tensorflow")

from xtremedistil.models.language_model.language_head import LanguageHead, head_state  # noqa: E402
from xtremedistil.models.language_model.language_model import LanguageModel  # noqa: E402
from xtremedistil.pretraining.language_objective import language_objective  # noqa: E402
from xtremedistil.pretraining.live_teacher import student_with_teacher  # noqa: E402

PREDICTED = np.array([1, 3, 7], np.int32)  # positions 1 and 3 of the first row, 2 of the second (5 positions each)


def batch(pad_id: int = 0) -> dict:
    return {name: tf.constant(array) for name, array in rows(pad_id=pad_id).items()} | {
        "predicted": tf.constant(PREDICTED)
    }


def inputs_of(class_name: str) -> dict:
    return batch(tiny_config(class_name).get("pad_token_id", 0))


FILES = ("safetensors", "h5", "tensorflow", "shards")  # the last two: safetensors with TensorFlow's own names
MORE = [(name, kind) for name in STUDENTS for kind in FILES if name != "TFBertModel"] + [("TFBertModel", "shards")]


@pytest.mark.parametrize("class_name, kind", [*(("TFBertModel", kind) for kind in FILES[:3]), *slow(*MORE)])
def test_head_says_what_transformers_says(class_name, kind, tmp_path):
    reference = shaken_masked_lm(class_name)
    folder = str(tmp_path)
    if kind == "h5":
        reference.save_pretrained(folder, safe_serialization=False)
    elif kind in ("tensorflow", "shards"):
        size = "5KB" if kind == "shards" else "5GB"
        reference.save_pretrained(folder, safe_serialization=True, max_shard_size=size)
        loaded = load_masked_lm(folder, FAMILIES[class_name], tiny_config(class_name))
        for one, other in zip(loaded.weights, reference.weights, strict=True):
            np.testing.assert_array_equal(one, other)
    else:
        write_checkpoint(tmp_path, tiny_config(class_name), masked_lm_state(reference))
    inputs = inputs_of(class_name)
    fed = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    if FAMILIES[class_name].takes_token_types:
        fed["token_type_ids"] = inputs["token_type_ids"]
    expected = reference(fed).logits.numpy().reshape(10, -1)[PREDICTED]
    found = open_language_model(folder, class_name).feature_model([], logits=True)(inputs)["logits"]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_head_of_gpt2_is_its_word_embeddings():
    encoder, family = shaken_encoder("TFGPT2Model"), FAMILIES["TFGPT2Model"]
    model = LanguageModel(encoder, family, LanguageHead(encoder, family))
    assert model.head.weights == [] and model.head.state() == {}
    found = model.feature_model(["hidden_states_2"], logits=True)(batch())
    states = found["hidden_states_2"].numpy().reshape(10, -1)[PREDICTED]
    np.testing.assert_allclose(found["logits"], states @ encoder.weights[0].numpy().T, atol=2e-5)


def test_head_comes_back_as_it_was_written(tmp_path):
    model = shaken_masked_lm("TFElectraModel")
    folder = write_checkpoint(tmp_path / "one", tiny_config("TFElectraModel"), masked_lm_state(model))
    head, written = open_language_model(folder, "TFElectraModel").head, masked_lm_state(model)
    for name, array in head.state().items():
        np.testing.assert_array_equal(array, written[name])
    assert head.state().keys() == {name for name in written if name.startswith("generator_")}
    assert all("embeddings" not in weight.name for weight in head.weights), "the word embeddings are the encoder's"


def test_checkpoint_without_a_head_has_none_and_half_a_head_is_refused(tmp_path):
    family, config = FAMILIES["TFBertModel"], tiny_config("TFBertModel")
    plain = write_checkpoint(tmp_path / "plain", config, pytorch_state(shaken_encoder("TFBertModel")))
    assert head_state(plain, family) is None
    state = masked_lm_state(shaken_masked_lm("TFBertModel"))
    del state["cls.predictions.transform.dense.bias"]
    half = write_checkpoint(tmp_path / "half", config, state)
    with pytest.raises(
        InputError, match=r"part of a masked-language-model head: cls.predictions.transform.dense.bias is missing"
    ):
        head_state(half, family)


@pytest.mark.parametrize(
    "class_name, table, decoder",
    [
        ("TFBertModel", "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"),
        ("TFGPT2Model", "wte.weight", "lm_head.weight"),
    ],
)
def test_head_with_a_word_embeddings_of_its_own_is_refused(class_name, table, decoder, tmp_path):
    causal = class_name == "TFGPT2Model"
    state = pytorch_state(shaken_encoder(class_name)) if causal else masked_lm_state(shaken_masked_lm(class_name))
    folder = write_checkpoint(tmp_path, tiny_config(class_name), state | {decoder: state[table].copy()})
    assert head_state(folder, FAMILIES[class_name]) is not None
    write_checkpoint(tmp_path, tiny_config(class_name), state | {decoder: state[table] + 1})
    with pytest.raises(InputError, match=f"{decoder} differs from the word embeddings"):
        head_state(folder, FAMILIES[class_name])


@pytest.mark.parametrize("class_name", [*STUDENTS, "TFGPT2Model"])
def test_picked_layers_are_the_teachers_bit_by_bit(class_name):
    family = FAMILIES[class_name]
    layers = {"TFGPT2Model": "n_layer", "TFDistilBertModel": "n_layers"}.get(class_name, "num_hidden_layers")
    teacher = new_encoder_from_config(tiny_config(class_name) | {layers: 4}, family, name="teacher")
    student = new_encoder_from_config(tiny_config(class_name), family, name="student")
    pick_layers(teacher, student, [1, 3])

    def by_name(encoder):
        return {variable.name.removeprefix(f"{encoder.name}/"): variable.numpy() for variable in encoder.weights}

    theirs, own = by_name(teacher), by_name(student)
    moved = 0
    for name, value in own.items():
        source = name.replace("_._1/", "_._3/").replace("_._0/", "_._1/")
        moved += source != name
        np.testing.assert_array_equal(value, theirs[source], err_msg=name)
    assert moved > 20


def test_layers_of_another_width_are_refused():
    config, family = tiny_config("TFBertModel"), FAMILIES["TFBertModel"]
    teacher = new_encoder_from_config(config, family, name="teacher")
    student = new_encoder_from_config(config | {"hidden_size": 6}, family, name="student")
    with pytest.raises(InputError, match=r"is \[40, 6\], the teacher has \[40, 12\]: layers can only be"):
        pick_layers(teacher, student, [0, 1])


@pytest.mark.parametrize(
    "text, teacher, student, expected",
    [
        ("uniform", 12, 6, [0, 2, 4, 7, 9, 11]),
        ("uniform", 6, None, [0, 2, 5]),
        ("uniform", 6, 1, [0]),
        ("5,0", 6, 2, [5, 0]),
    ],
)
def test_layers_that_are_picked(text, teacher, student, expected):
    assert parse_layers(text, teacher, student) == expected


@pytest.mark.parametrize(
    "text, student, message",
    [
        ("0,6", None, "the teacher has layers 0 to 5, not 6"),
        ("0,2", 3, "are 2 layers, but the student has 3"),
        ("even", None, "give layers of the teacher from 0"),
        ("uniform", 7, "the student has 7 layers, the teacher 6"),
    ],
)
def test_layers_that_are_not_there_are_refused(text, student, message):
    with pytest.raises(InputError, match=message):
        parse_layers(text, 6, student)


RELATIONS = tuple(
    Match(kind, 1, 1, "relation_kl", options={"relation_heads": 3, "mean_over": "rows"})
    for kind in ("queries", "keys", "values")
)


def pair(**student_changes):
    """Teacher and student, each with a head, from different random weights."""
    family = FAMILIES["TFBertModel"]
    teacher = shaken_encoder("TFBertModel", seed=1)
    student = new_encoder_from_config(tiny_config("TFBertModel") | student_changes, family, name="student")
    return [LanguageModel(encoder, family, LanguageHead(encoder, family)) for encoder in (student, teacher)]


def labelled(inputs: dict) -> dict:
    labels = {"labels": tf.constant([7, -100, 9]), "predicted_mask": tf.ones(3), "row_mask": tf.ones(2)}
    return inputs | labels


def run_terms(soft_labels: float, words: float, logits: float, temperature: float, matches: tuple) -> Terms:
    """Of a run with these weights."""
    distance = SoftLabels("logits_mse", weight=logits, options={"sum_over_labels": True})
    soft = SoftLabels("soft_label_kl", temperature, weight=soft_labels)
    return Terms(soft, matches, words, further_soft_labels=(distance,) if logits else ())


def test_teacher_in_the_step_is_a_constant_without_dropout():
    student, teacher = pair(hidden_size=6)
    terms_of_run = run_terms(1.0, 1.0, 0.0, 2.0, (Match("hidden_states", 2, 2, "hidden_cosine"), *RELATIONS))
    model, projections = student_with_teacher(
        student, teacher, terms_of_run.matches, student_logits=True, teacher_logits=True
    )
    inputs = batch()
    alone = teacher.feature_model(["hidden_states_2", "values_1"], logits=True)(inputs, training=False)
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        terms = language_objective(terms_of_run)(outputs, labelled(inputs))
        loss = tf.add_n([term.weight * term.value for term in terms.values()])
    assert set(terms) == {"soft_labels", "words", *(match.name for match in terms_of_run.matches)}
    for name, value in alone.items():
        np.testing.assert_allclose(outputs[f"teacher_{name}"], value, atol=1e-6)
    again = model(inputs, training=True)["logits"]
    assert np.abs(again.numpy() - outputs["logits"].numpy()).max() > 1e-3, "the student's dropout draws anew"
    of_teacher = tape.gradient(loss, teacher.weights)
    assert of_teacher == [None] * len(teacher.weights)
    assert len(projections) == 1 and projections[0].kernel.shape == (6, 12)


def test_relations_leave_the_top_layers_output_alone():
    """What stands behind the values of the last layer cannot change them: no gradient, and no fault."""
    student, teacher = pair()
    model, _ = student_with_teacher(student, teacher, RELATIONS, student_logits=False, teacher_logits=False)
    inputs, terms_of_run = batch(), run_terms(0.0, 0.0, 0.0, 1.0, RELATIONS)
    with tf.GradientTape() as tape:
        terms = language_objective(terms_of_run)(model(inputs), labelled(inputs))
        loss = tf.add_n([term.value for term in terms.values()])
    gradients = tape.gradient(loss, student.encoder.weights)
    reached = {
        variable.name for variable, one in zip(student.encoder.weights, gradients, strict=True) if one is not None
    }
    top = [name for variable in student.encoder.weights if "layer_._1/" in (name := variable.name)]
    assert {name for name in top if "/attention/self/" in name} <= reached
    assert not any(name in reached for name in top if "/attention/self/" not in name)


def test_student_with_all_of_the_teachers_layers_has_nothing_to_learn_from_it():
    student, teacher = pair(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    pick_layers(teacher.encoder, student.encoder, [0, 1])
    for own, theirs in zip(student.head.weights, teacher.head.weights, strict=True):
        own.assign(theirs)
    maps = Match("attention_scores", 1, 1, "attention_kl", options={"mean_over": "rows"})
    terms_of_run = run_terms(1.0, 0.0, 1.0, 2.0, (Match("hidden_states", 2, 2, "hidden_cosine"), maps, *RELATIONS))
    model, _ = student_with_teacher(student, teacher, terms_of_run.matches, student_logits=True, teacher_logits=True)
    terms = language_objective(terms_of_run)(model(batch(), training=True), labelled(batch()))
    assert {name: float(term.value) for name, term in terms.items()} == {
        name: pytest.approx(0.0, abs=1e-5) for name in terms
    }


def test_what_stands_in_padding_changes_nothing():
    student, teacher = pair(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    terms_of_run = run_terms(1.0, 1.0, 1.0, 2.0, (Match("hidden_states", 2, 2, "hidden_cosine"), *RELATIONS))
    model, _ = student_with_teacher(student, teacher, terms_of_run.matches, student_logits=True, teacher_logits=True)
    inputs = batch()
    padded = inputs | {"input_ids": tf.where(inputs["attention_mask"] > 0, inputs["input_ids"], 11)}
    losses = [
        {name: float(term.value) for name, term in language_objective(terms_of_run)(model(one), labelled(one)).items()}
        for one in (inputs, padded)
    ]
    assert losses[0] == {name: pytest.approx(value, abs=1e-6) for name, value in losses[1].items()}


def test_terms_on_words_of_two_positions():
    """Temperature 2, teacher [4, 0], [0, 0], student [0, 0] twice; the first position's word is token 1."""
    outputs = {"logits": tf.zeros([2, 2])}
    found = {"teacher_logits": tf.constant([[4.0, 0.0], [0.0, 0.0]]), "predicted_mask": tf.ones(2)}
    terms = language_objective(run_terms(5.0, 2.0, 1.0, 2.0, ()))(outputs, found | {"labels": tf.constant([1, -100])})
    p = 1 / (1 + np.exp(-2.0))
    kl = np.log(2) + p * np.log(p) + (1 - p) * np.log(1 - p)
    assert float(terms["soft_labels"].value) == pytest.approx(4 * kl / 2, rel=1e-5)
    assert float(terms["words"].value) == pytest.approx(np.log(2), rel=1e-5)
    assert float(terms["logits"].value) == pytest.approx((16 + 0) / 2, rel=1e-5)
    counted = {name: (float(term.count), term.weight) for name, term in terms.items()}
    assert counted == {"soft_labels": (2, 5.0), "words": (1, 2.0), "logits": (2, 1.0)}
