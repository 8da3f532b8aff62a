"""Encoders of all families, teachers and students, on tiny checkpoints."""

import json
import sys

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import xtremedistil  # noqa: F401 - chooses legacy Keras
from tests.model_fixtures import (
    BERT_AND_XLNET_FIRST,
    HEADS,
    HIDDEN,
    LAYERS,
    STUDENTS,
    USABLE,
    VOCABULARY,
    pytorch_state,
    rows,
    tiny_config,
    write_checkpoint,
)
from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.models.architectures.families import FAMILIES
from xtremedistil.models.checkpoints.pretrained import (
    changed_config,
    hidden_dropout,
    load_encoder,
    new_encoder,
    new_encoder_from_config,
    read_config,
)
from xtremedistil.models.checkpoints.weight_files import read_safetensors
from xtremedistil.models.features.word_embeddings import factorize, word_embedding_variable
from xtremedistil.terms.match import Match

tf = pytest.importorskip("tensorflow")
tf_keras = pytest.importorskip("tf_keras")

from xtremedistil.models.factorized_embedding import MappedEmbedding  # noqa: E402
from xtremedistil.models.features.encoder_outputs import pick_summary  # noqa: E402
from xtremedistil.models.student import build_student  # noqa: E402
from xtremedistil.models.teacher import build_teacher  # noqa: E402

BERT = FAMILIES["TFBertModel"]
FEATURES = [f"hidden_states_{i}" for i in range(LAYERS + 1)] + [f"attentions_{i}" for i in range(LAYERS)] + ["logits"]


def run(model, inputs: dict) -> dict[str, np.ndarray]:
    outputs = model({name: tf.constant(array) for name, array in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def weights_of(model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.weights]


def same(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(weights_of(one), weights_of(other), strict=True))


def bert_student(name: str = "student_2", **changes):
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 16,
    }
    return new_encoder(changes.pop("family", BERT), name=name, **{**sizes, **changes})


TOP, LOW = Match("hidden_states", 2, 2), Match("hidden_states", 0, 0)
MAP = Match("attentions", 1, 1, "attention_squared_distance")


# All families


@pytest.mark.parametrize("class_name", BERT_AND_XLNET_FIRST)
def test_family_battery(class_name, tiny_encoders):
    """Named shapes; padding changes nothing; a row without tokens is finite; the last state is the last."""
    family, encoder = FAMILIES[class_name], tiny_encoders(class_name)
    teacher = build_teacher(encoder, family, by_position=True, num_labels=4)
    features = teacher.feature_model(FEATURES)
    pad_id = encoder.config.pad_token_id or 0
    plain, padded = rows((5, 5)), rows((5, 5, 0), width=9, pad_id=pad_id)
    padded["input_ids"][:2, :5] = plain["input_ids"]

    tight, wide = run(features, plain), run(features, padded)

    assert {name: value.shape for name, value in wide.items()} == {
        **{f"hidden_states_{i}": (3, 9, HIDDEN) for i in range(LAYERS + 1)},
        **{f"attentions_{i}": (3, HEADS, 9, 9) for i in range(LAYERS)},
        "logits": (3, 9, 4),
    }
    for name, value in wide.items():
        assert value.dtype == np.float32
        assert np.isfinite(value).all(), name
        real = value[:2, :, :5, :5] if name.startswith("attentions") else value[:2, :5]
        np.testing.assert_allclose(real, tight[name], atol=1e-5, err_msg=name)
    np.testing.assert_allclose(tight["attentions_1"].sum(-1), 1.0, atol=1e-5)
    last = encoder(feedable(family, plain)).last_hidden_state
    np.testing.assert_allclose(last, tight[f"hidden_states_{LAYERS}"], atol=1e-6)


def feedable(family, inputs: dict) -> dict:
    names = [name for name in inputs if name != "token_type_ids" or family.takes_token_types]
    return {name: tf.constant(inputs[name]) for name in names}


@pytest.mark.parametrize("class_name", USABLE)
def test_pytorch_safetensors_of_every_family_load_exactly(class_name, tiny_encoders, tiny_checkpoints):
    folder = tiny_checkpoints(class_name)
    loaded = load_encoder(folder, FAMILIES[class_name], name="tf_model")
    assert same(loaded, tiny_encoders(class_name))
    assert word_embedding_variable(loaded).shape[0] == VOCABULARY
    assert all("/pooler/" not in variable.name for variable in loaded.weights)


@pytest.mark.parametrize("class_name", USABLE)
def test_dropout_can_be_chosen_for_every_family(class_name):
    family = FAMILIES[class_name]
    config = changed_config(tiny_config(class_name), family, dropout=0.0)
    encoder = new_encoder_from_config(config, family, name="tf_model")
    rates = {layer.rate for layer in encoder._flatten_layers() if isinstance(layer, tf_keras.layers.Dropout)}
    assert rates == {0.0}
    assert hidden_dropout(encoder, family) == 0.0


@pytest.mark.parametrize("class_name", ["TFCTRLModel", "TFXLNetModel", "TFXLMModel"])
def test_families_that_break_in_half_precision_are_refused_there(class_name):
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        with pytest.raises(InputError, match=f"{class_name} cannot compute in float16"):
            new_encoder_from_config(tiny_config(class_name), FAMILIES[class_name], name="tf_model")
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


# Checkpoints


def load_bert(folder, **changes):
    return load_encoder(str(folder), BERT, name="tf_model", config=read_config(str(folder)) | changes)


def test_checkpoint_with_a_task_head_loads(tiny_encoders, tmp_path):
    encoder = tiny_encoders("TFBertModel")
    state = pytorch_state(encoder, "bert.") | {"cls.predictions.bias": np.zeros(VOCABULARY, np.float32)}
    assert same(load_bert(write_checkpoint(tmp_path / "mlm", tiny_config("TFBertModel"), state)), encoder)


def test_old_layer_norm_names_load(tiny_encoders, tmp_path):
    encoder, old = tiny_encoders("TFBertModel"), {}
    for name, array in pytorch_state(encoder).items():
        old[name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")] = array
    assert same(load_bert(write_checkpoint(tmp_path / "old", tiny_config("TFBertModel"), old)), encoder)


def test_bfloat16_and_float16_tensors_load_rounded(tiny_encoders, tmp_path):
    encoder = tiny_encoders("TFBertModel")
    for kind, tolerance in ((ml_dtypes.bfloat16, 2e-2), (np.float16, 2e-3)):
        state = {name: array.astype(kind) for name, array in pytorch_state(encoder).items()}
        loaded = load_bert(write_checkpoint(tmp_path / np.dtype(kind).name, tiny_config("TFBertModel"), state))
        for one, other in zip(weights_of(loaded), weights_of(encoder), strict=True):
            np.testing.assert_allclose(one, other, atol=tolerance)


def test_shards_load_and_a_missing_shard_is_named(tiny_encoders, tmp_path):
    encoder = tiny_encoders("TFBertModel")
    state = pytorch_state(encoder)
    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny_config("TFBertModel")))
    places = {name: f"model-{1 + number % 2}.safetensors" for number, name in enumerate(state)}
    for file in set(places.values()):
        save_file({name: state[name] for name in state if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    assert same(load_bert(folder), encoder)
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(MissingFileError, match="names the file model-2.safetensors, which is missing"):
        load_bert(folder)


@pytest.mark.parametrize("safe", [False, True])
def test_what_transformers_itself_saves_loads(safe, tiny_encoders, tmp_path):
    encoder = tiny_encoders("TFBertModel")
    encoder.save_pretrained(tmp_path, safe_serialization=safe)
    assert same(load_bert(tmp_path), encoder)


def test_missing_weights_are_named_and_refused(tiny_encoders, tmp_path):
    state = pytorch_state(tiny_encoders("TFBertModel"))
    del state["encoder.layer.1.output.dense.bias"]
    folder = write_checkpoint(tmp_path / "part", tiny_config("TFBertModel"), state)
    with pytest.raises(InputError, match=r"lacks 1 of the 37 weights(?s:.*)bert/encoder/layer_._1/output/dense/bias:0"):
        load_bert(folder)


def test_foreign_weights_are_refused_and_shown(tmp_path):
    folder = write_checkpoint(tmp_path / "foreign", tiny_config("TFBertModel"), {"unet.x": np.zeros(3_000, np.float32)})
    with pytest.raises(InputError, match=r"lacks 37 of the 37(?s:.*)among others, unet.x"):
        load_bert(folder)


def test_weights_of_another_width_are_refused(tiny_encoders, tmp_path):
    config = {**tiny_config("TFBertModel"), "intermediate_size": 12}
    folder = write_checkpoint(tmp_path / "width", config, pytorch_state(tiny_encoders("TFBertModel")))
    with pytest.raises(InputError, match=r"has shape \[.*but by config.json it is \["):
        load_bert(folder)


@pytest.mark.parametrize("keep", [0, 5, 400, -100])
def test_truncated_safetensors_are_refused(keep, tiny_checkpoints, tmp_path):
    with open(f"{tiny_checkpoints('TFBertModel')}/model.safetensors", "rb") as file:
        (tmp_path / "model.safetensors").write_bytes(file.read()[:keep])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        read_safetensors(str(tmp_path / "model.safetensors"))


def test_folder_without_weights_lists_what_it_looked_for(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config("TFBertModel")))
    with pytest.raises(MissingFileError, match="holds no weights. Looked for model.safetensors"):
        load_bert(tmp_path)


def test_pickled_weights_need_torch_and_are_not_opened_without(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "config.json").write_text(json.dumps(tiny_config("TFBertModel")))
    (tmp_path / "pytorch_model.bin").write_bytes(b"whatever" * 2_000)
    with pytest.raises(InputError, match="needs torch. Install the extra `torch`"):
        load_bert(tmp_path)


def test_pickled_weights_load_with_torch_as_the_safetensors_do(tiny_encoders, tiny_checkpoints, tmp_path):
    torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
    folder = tiny_checkpoints("TFBertModel")
    state = {name: torch.tensor(array) for name, array in read_safetensors(f"{folder}/model.safetensors").items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(tiny_config("TFBertModel")))
    assert same(load_bert(tmp_path), tiny_encoders("TFBertModel"))


def test_other_vocabulary_leaves_only_the_word_embedding_random(tiny_encoders, tiny_checkpoints):
    loaded = load_bert(tiny_checkpoints("TFBertModel"), vocab_size=33)
    table = word_embedding_variable(loaded)
    assert table.shape == (33, HIDDEN)
    for one, other in zip(loaded.weights, tiny_encoders("TFBertModel").weights, strict=True):
        assert one is table or np.array_equal(one.numpy(), other.numpy()), one.name


def test_same_vocabulary_size_keeps_the_checkpoints_embedding(tiny_encoders, tiny_checkpoints):
    assert same(load_bert(tiny_checkpoints("TFBertModel"), vocab_size=VOCABULARY), tiny_encoders("TFBertModel"))


def test_loading_inside_a_name_scope_loads_the_weights(tiny_encoders, tiny_checkpoints):
    with tf.name_scope("outer"):
        assert same(load_bert(tiny_checkpoints("TFBertModel")), tiny_encoders("TFBertModel"))


# Students from scratch


@pytest.mark.slow
@pytest.mark.parametrize("class_name", STUDENTS)
def test_student_from_scratch_has_the_sizes_asked_for(class_name):
    encoder = bert_student(family=FAMILIES[class_name], pad_token_id=1, seed=5)
    assert word_embedding_variable(encoder).shape == (VOCABULARY, 8)
    assert (encoder.config.num_hidden_layers, encoder.config.num_attention_heads) == (2, 2)
    longest = rows((16,), width=16, pad_id=1)
    state = encoder(feedable(FAMILIES[class_name], longest)).last_hidden_state
    assert state.shape == (1, 16, 8) and np.isfinite(state).all()
    assert same(encoder, bert_student(family=FAMILIES[class_name], pad_token_id=1, seed=5))
    assert not same(encoder, bert_student(family=FAMILIES[class_name], pad_token_id=1, seed=6))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="8 is not a multiple of 3"):
        bert_student(num_attention_heads=3)


def test_family_that_cannot_be_a_student_is_refused():
    with pytest.raises(ValueError, match="TFGPT2Model cannot be a student"):
        bert_student(family=FAMILIES["TFGPT2Model"])


# Summary position


def test_summary_is_the_first_or_the_last_real_position():
    states = tf.reshape(tf.range(12.0), (2, 3, 2))  # row 0: [0 1] [2 3] [4 5]; row 1: [6 7] [8 9] [10 11]
    mask = tf.constant([[1, 1, 0], [0, 0, 0]])
    last = FAMILIES["TFGPT2Model"]
    assert pick_summary(states, mask, BERT).numpy().tolist() == [[0, 1], [6, 7]]
    assert pick_summary(states, mask, last).numpy().tolist() == [[2, 3], [6, 7]]


@pytest.mark.parametrize("class_name", ["TFBertModel", "TFXLNetModel", "TFGPT2Model"])
def test_classification_does_not_see_padding(class_name, tiny_encoders):
    family, encoder = FAMILIES[class_name], tiny_encoders(class_name)
    teacher = build_teacher(encoder, family, by_position=False, num_labels=3)
    plain, padded = rows((5, 5)), rows((5, 5), width=8, pad_id=encoder.config.pad_token_id or 0)
    padded["input_ids"][:, :5] = plain["input_ids"]
    tight, wide = run(teacher.model, plain)["logits"], run(teacher.model, padded)["logits"]
    assert tight.shape == (2, 3)
    np.testing.assert_allclose(tight, wide, atol=1e-5)


# Teacher


def test_teacher_parts_are_its_encoder_and_head(tiny_encoders):
    teacher = build_teacher(tiny_encoders("TFBertModel"), BERT, by_position=True, num_labels=4)
    assert {name: len(variables) for name, variables in teacher.parts.items()} == {"tf_model": 37, "final_logits": 2}
    assert set(teacher.model.output) == {"logits"}


def test_unknown_feature_is_refused_with_the_known_ones(tiny_encoders):
    teacher = build_teacher(tiny_encoders("TFBertModel"), BERT, by_position=True, num_labels=4)
    with pytest.raises(ValueError, match="no output hidden_states_9; it has hidden_states_0"):
        teacher.feature_model(["hidden_states_9"])


# Student


def wide_teacher_student(by_position: bool = True, **changes):
    return build_student(
        bert_student(seed=1), BERT, by_position=by_position, num_labels=4, teacher_hidden_size=12, **changes
    )


def test_student_wider_than_the_teacher_is_projected():
    student = build_student(bert_student(), BERT, by_position=True, num_labels=4, teacher_hidden_size=6)
    assert student.projection.kernel.shape == (8, 6)


def test_blocks_and_parts_hold_each_variable_once():
    student = wide_teacher_student()
    for groups in (student.blocks, student.parts):
        assert [len(group) for group in groups.values()] == [37, 2, 2]
    assert list(student.blocks) == ["student", "dense", "head"]
    assert list(student.parts) == ["student_2", "dense_2", "dense"]
    assert len({id(variable) for part in student.parts.values() for variable in part}) == len(student.model.weights)


def test_equally_wide_student_has_no_projection():
    student = build_student(bert_student(), BERT, by_position=True, num_labels=4, teacher_hidden_size=8)
    assert (list(student.blocks), list(student.parts)) == (["student", "head"], ["student_2", "dense"])
    model, extra = student.matching_model([LOW])
    assert extra == [] and run(model, rows())[LOW.name].shape == (2, 5, 8)


@pytest.mark.parametrize("by_position", [True, False])
def test_matching_model_gives_named_tensors_from_one_run_of_the_encoder(by_position):
    student = wide_teacher_student(by_position)
    model, extra = student.matching_model([TOP, LOW, MAP])
    outputs = run(model, rows())
    shapes = {TOP.name: (2, 5, 12), LOW.name: (2, 5, 12), MAP.name: (2, 2, 5, 5)}
    assert {name: value.shape for name, value in outputs.items() if name != "logits"} == shapes
    np.testing.assert_allclose(outputs["logits"], run(student.model, rows())["logits"], atol=1e-6)
    assert [layer.name for layer in extra] == [LOW.name + "_projection"]
    assert len(model.weights) == len(student.model.weights) + 2
    assert sum(layer is student.encoder for layer in model.layers) == 1
    assert len(student.encoder.inbound_nodes) == 2  # one for each of the two graphs


def test_top_state_goes_through_the_deployed_projection():
    student = wide_teacher_student()
    model, _ = student.matching_model([TOP])
    student.projection.kernel.assign(tf.zeros_like(student.projection.kernel))
    student.projection.bias.assign(tf.range(12.0))
    np.testing.assert_array_equal(run(model, rows())[TOP.name][0, 0], np.arange(12.0))


def test_two_students_in_one_process_are_apart_and_alike():
    one, other = wide_teacher_student(), wide_teacher_student()
    assert [layer.name for layer in one.model.layers] == [layer.name for layer in other.model.layers]
    before = run(other.model, rows())["logits"]
    one.head.bias.assign(tf.ones(4))
    np.testing.assert_array_equal(run(other.model, rows())["logits"], before)


def test_every_output_is_float32_under_mixed_precision():
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        student = wide_teacher_student()
        model, _ = student.matching_model([LOW, MAP])
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    outputs = run(model, rows((5, 0)))
    assert {value.dtype for value in outputs.values()} == {np.dtype(np.float32)}
    assert all(np.isfinite(value).all() for value in outputs.values())
    assert {variable.dtype for variable in student.model.weights} == {tf.float32}


def test_dropout_rate_is_the_encoders_unless_given():
    assert wide_teacher_student().dropout_rate == 0.1
    student = wide_teacher_student(dropout_rate=0.0)
    rates = {layer.name: layer.rate for layer in student.model.layers if isinstance(layer, tf_keras.layers.Dropout)}
    assert rates == {"projection_dropout": 0.0, "head_dropout": 0.0}


# Word embeddings


def test_factorization_of_a_line_keeps_distances():
    """Rows on the line (3, 4) * t lie 5 t apart; so do their first principal components."""
    table = np.outer([0.0, 1.0, 2.0, 4.0], [3.0, 4.0])
    reduced = np.matmul(*factorize(table, 1))[:, 0]
    np.testing.assert_allclose(np.abs(np.diff(reduced)), [5, 5, 10], atol=1e-5)
    assert abs(reduced.mean()) < 1e-5  # pca centres
    not_centred = np.matmul(*factorize(table, 1, "svd"))[:, 0]
    np.testing.assert_allclose(np.abs(not_centred), [0, 5, 10, 20], atol=1e-5)


def test_factorization_is_deterministic_and_leaves_equal_widths_alone():
    table = np.random.default_rng(0).standard_normal((600, 40)).astype(np.float32)
    for method in ("pca", "svd"):
        first, second = factorize(table, 8, method), factorize(table, 8, method)
        assert all(np.array_equal(a, b) and a.dtype == np.float32 for a, b in zip(first, second, strict=True))
    assert np.array_equal(np.matmul(*factorize(table, 40)), table)


def test_mapped_embedding_moves_words_that_it_never_sees_and_settles_into_the_deployed_table():
    """Training on ids 5 and 6 alone changes the row of id 9, and the deployed model then says what was trained."""
    encoder = bert_student(seed=1)
    table, kernel = factorize(np.random.default_rng(0).standard_normal((40, 12)).astype(np.float32), 8)
    word_map = MappedEmbedding(table, kernel, name="word_map")
    word_embedding_variable(encoder).assign(word_map.product())
    student = build_student(encoder, BERT, by_position=True, num_labels=4, teacher_hidden_size=12, word_map=word_map)
    inputs = {name: tf.ones((1, 2), tf.int32) for name in ("attention_mask", "token_type_ids")}
    inputs["input_ids"] = tf.constant([[5, 6]])
    before = word_embedding_variable(encoder).numpy()[9].copy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(student.training_model(inputs)["logits"] ** 2)
    word_map.kernel.assign_sub(0.1 * tape.gradient(loss, word_map.kernel))
    student.sync_word_embeddings()
    assert not np.allclose(word_embedding_variable(encoder).numpy()[9], before)
    np.testing.assert_allclose(student.model(inputs)["logits"], student.training_model(inputs)["logits"], atol=1e-5)


@pytest.mark.parametrize("method", ["pca", "svd"])
def test_fewer_tokens_than_columns_keep_their_products_and_the_other_columns_are_0(method):
    table = np.random.default_rng(0).standard_normal((5, 12)).astype(np.float32)
    full, kernel = factorize(table, 8, method)
    assert kernel.shape == (12, 8) and not kernel[:, 5:].any()
    reduced = full @ kernel
    np.testing.assert_allclose(reduced @ reduced.T, full @ full.T, atol=1e-4)


def test_factorization_to_more_columns_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"\[9, 4\] cannot be reduced to width 5"):
        factorize(np.zeros((9, 4)), 5)
    with pytest.raises(ValueError, match="Unknown method 'nmf'; known: pca, svd"):
        factorize(np.zeros((9, 4)), 2, "nmf")


def test_config_of_a_folder_is_read_as_it_is(tiny_checkpoints):
    assert read_config(tiny_checkpoints("TFBertModel")) == tiny_config("TFBertModel")
