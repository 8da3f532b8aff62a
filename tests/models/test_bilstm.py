"""The student that is no transformer: its recurrence, its encoder, whole runs, exports."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import xtremedistil
from tests.command_fixtures import TEACHER_WIDTH, Material, contents, sentences, write_rows, write_text_task
from tests.model_fixtures import BILSTM_CONFIG, rows, shaken_bilstm
from xtremedistil.terms.match import Match

tf = pytest.importorskip("tensorflow")
tf_keras = pytest.importorskip("tf_keras")

from xtremedistil.models.architectures.families import BILSTM  # noqa: E402
from xtremedistil.models.architectures.lstm import run_lstm  # noqa: E402
from xtremedistil.models.architectures.shapes import BilstmShape  # noqa: E402
from xtremedistil.models.factorized_embedding import MappedEmbedding  # noqa: E402
from xtremedistil.models.features.encoder_outputs import run_encoder  # noqa: E402
from xtremedistil.models.student import build_student  # noqa: E402

UNITS, WIDTH, LABELS = BILSTM_CONFIG["lstm_units"], 2 * BILSTM_CONFIG["lstm_units"], 5


def tensors(inputs: dict) -> dict:
    return {name: tf.constant(array) for name, array in inputs.items()}


def states_of(encoder, inputs: dict) -> list[np.ndarray]:
    return [state.numpy() for state in run_encoder(encoder, BILSTM, tensors(inputs)).hidden_states]


def shaken_student(by_position: bool = True, teacher_width: int = WIDTH + 4, **changes):
    student = build_student(
        shaken_bilstm(**changes), BILSTM, by_position=by_position, num_labels=LABELS, teacher_hidden_size=teacher_width
    )
    for layer in (student.projection, student.head):
        if layer is not None:
            layer.bias.assign(tf.random.stateless_normal(layer.bias.shape, [1, 2]))
    return student


# The recurrence


def keras_bilstm(encoder, number: int):
    """Keras' own layer with the weights of one of ours."""
    layer = encoder.bilstm_layers[number]
    keras = tf_keras.layers.Bidirectional(tf_keras.layers.LSTM(UNITS, return_sequences=True))
    keras.build((None, None, layer.forward.kernel.shape[0]))
    keras.set_weights([weight for side in (layer.forward, layer.backward) for weight in side.get_weights()])
    return keras


def test_states_are_those_of_keras_masked_bidirectional_lstm():
    encoder, inputs = shaken_bilstm(), rows((5, 3, 1), width=7)
    found = states_of(encoder, inputs)
    mask = inputs["attention_mask"].astype(bool)
    for number in (0, 1):
        expected = keras_bilstm(encoder, number)(tf.constant(found[number]), mask=tf.constant(mask)).numpy()
        np.testing.assert_allclose(found[number + 1][mask], expected[mask], atol=1e-6)


def test_one_unit_by_hand():
    """One unit, one position, input 1, all kernels 0, biases (0, 0, ln 2, 0): gates 1/2, candidate tanh(ln 2) = 0.6.

    The cell is 1/2 x 0.6 = 0.3, the output 1/2 x tanh(0.3) = 0.14566.
    """
    bias = tf.constant([0.0, 0.0, np.log(2.0), 0.0])
    output = run_lstm(tf.ones([1, 1, 1]), tf.zeros([1, 4]), tf.zeros([1, 4]), bias)
    assert output.numpy().item() == pytest.approx(0.5 * np.tanh(0.3))


def test_gradients_are_those_of_keras_lstm():
    generator = np.random.default_rng(2)
    inputs = tf.constant(generator.standard_normal((3, 7, 4)), tf.float32)
    factors = tf.constant(generator.standard_normal((3, 7, UNITS)), tf.float32)
    keras = tf_keras.layers.LSTM(UNITS, return_sequences=True)
    keras.build((None, None, 4))
    keras.set_weights([0.5 * generator.standard_normal(weight.shape) for weight in keras.get_weights()])
    found = []
    for layer in (lambda x: run_lstm(x, *keras.trainable_weights), keras):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(factors * layer(inputs))
        found.append(tape.gradient(loss, [inputs, *keras.trainable_weights]))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_gradients_in_a_compiled_graph_are_the_same():
    variables = [tf.Variable(0.1 * tf.random.stateless_normal(shape, [3, 4])) for shape in ([4, 12], [3, 12], [12])]

    def gradients(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(run_lstm(inputs, *variables)))
        return tape.gradient(loss, variables)

    inputs = tf.random.stateless_normal([2, 5, 4], [1, 2])
    compiled = tf.function(gradients, jit_compile=True)(inputs)
    for one, other in zip(gradients(inputs), compiled, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


# The encoder


def test_encoder_battery():
    """Shapes; padding changes nothing and its states are 0; a row without tokens is finite; words may be given."""
    encoder = shaken_bilstm()
    plain, padded = rows((5, 5)), rows((5, 5, 0), width=9)
    padded["input_ids"][:2, :5] = plain["input_ids"]
    tight, wide = states_of(encoder, plain), states_of(encoder, padded)
    assert [state.shape for state in wide] == [(3, 9, 8), (3, 9, WIDTH), (3, 9, WIDTH)]
    for one, other in zip(tight, wide, strict=True):
        np.testing.assert_allclose(other[:2, :5], one, atol=1e-6)
        assert np.isfinite(other).all()
    assert not wide[2][:2, 5:].any() and not wide[2][2].any()
    words = tf.gather(encoder.word_embeddings.embeddings, plain["input_ids"])
    given = run_encoder(encoder, BILSTM, tensors(plain), word_embeddings=words).hidden_states
    for one, other in zip(tight, given, strict=True):
        np.testing.assert_array_equal(one, other)


def test_backward_direction_begins_at_the_last_real_piece():
    encoder, inputs = shaken_bilstm(num_hidden_layers=1), rows((4,), width=8)
    turned = {name: array.copy() for name, array in inputs.items()}
    turned["input_ids"][:, :4] = inputs["input_ids"][:, 3::-1]
    layer = encoder.bilstm_layers[0]
    layer.backward.set_weights(layer.forward.get_weights())
    straight, reverse = states_of(encoder, inputs)[1], states_of(encoder, turned)[1]
    np.testing.assert_allclose(straight[:, :4, UNITS:], reverse[:, 3::-1, :UNITS], atol=1e-6)


def test_weights_bear_the_names_that_files_are_read_by():
    encoder = shaken_bilstm(num_hidden_layers=1)
    sides = [f"student_2/layer_0/{side}" for side in ("forward", "backward")]
    assert [variable.name for variable in encoder.weights] == [
        "student_2/word_embeddings/embeddings:0",
        "student_2/LayerNorm/gamma:0",
        "student_2/LayerNorm/beta:0",
        *(f"{side}/{name}:0" for side in sides for name in ("kernel", "recurrent_kernel", "bias")),
    ]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_shape_counts_the_parameters(layers):
    config = BILSTM_CONFIG | {"num_hidden_layers": layers}
    shape = BilstmShape(layers, config["vocab_size"], config["embedding_size"], config["lstm_units"])
    assert shape.parameters == shaken_bilstm(num_hidden_layers=layers).count_params()
    assert shape.hidden_size == shaken_bilstm(num_hidden_layers=layers).config.hidden_size


def test_forget_gates_begin_open():
    from xtremedistil.models.checkpoints.pretrained import new_encoder_from_config

    encoder = new_encoder_from_config(BILSTM_CONFIG, BILSTM, name="student_2")
    expected = np.repeat([0.0, 1.0, 0.0, 0.0], UNITS)
    np.testing.assert_array_equal(encoder.bilstm_layers[0].forward.bias, expected)


# The student


@pytest.mark.slow
@pytest.mark.parametrize("teacher_width", [WIDTH - 3, WIDTH, WIDTH + 4])
def test_states_are_projected_to_the_teachers_width_from_either_side(teacher_width):
    student = shaken_student(teacher_width=teacher_width)
    assert ("dense" in student.blocks) == (teacher_width != WIDTH)
    matches = [Match("hidden_states", i, i) for i in (2, 1, 0)]
    names = {match.student: match.name for match in matches}
    model, extra = student.matching_model(matches)
    outputs = model(tensors(rows()))
    assert {name: value.shape[-1] for name, value in outputs.items()} == {
        "logits": LABELS,
        **dict.fromkeys(names.values(), teacher_width),
    }
    assert {layer.name for layer in extra} == (
        {f"{names[0]}_projection"} if teacher_width == WIDTH else {f"{names[i]}_projection" for i in (0, 1)}
    )


def test_mapped_words_take_the_place_of_the_table():
    encoder = shaken_bilstm()
    generator = np.random.default_rng(5)
    table, kernel = (generator.standard_normal(shape).astype(np.float32) for shape in ((40, 10), (10, 8)))
    words = MappedEmbedding(table, kernel, name="word_map")
    student = build_student(encoder, BILSTM, by_position=True, num_labels=2, teacher_hidden_size=16, word_map=words)
    trained = student.training_model(tensors(rows()))["logits"].numpy()
    student.sync_word_embeddings()
    np.testing.assert_allclose(student.model(tensors(rows()))["logits"], trained, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_near_and_trains(policy):
    expected = shaken_student().model(tensors(rows()))["logits"].numpy()
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        student = shaken_student()
        with tf.GradientTape() as tape:
            logits = student.model(tensors(rows()), training=True)["logits"]
            loss = tf.reduce_mean(tf.square(logits))
        gradients = tape.gradient(loss, student.model.trainable_weights)
        found = student.model(tensors(rows()))["logits"].numpy()
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert len(gradients) == len(student.model.weights)
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)


def test_dropout_is_a_function_of_the_step():
    from xtremedistil.training.dropout import seed_dropout

    student, seed, inputs = shaken_student(), tf.Variable([1, 0], dtype=tf.int32), tensors(rows())
    seed_dropout(student.model, seed)

    def states(step: int):
        seed.assign([1, step])
        return student.encoder(inputs, training=True).last_hidden_state.numpy()

    np.testing.assert_array_equal(states(3), states(3))
    assert np.abs(states(3) - states(4)).max() > 0.01


@pytest.mark.slow
def test_student_compiles_with_open_shapes_to_the_same_gradients():
    student, inputs = shaken_student(num_hidden_layers=1), tensors(rows())
    variables = student.model.trainable_weights[1:]  # without the table, whose gradient is sparse

    @tf.function(jit_compile=True, input_signature=[{name: tf.TensorSpec([None, None], tf.int32) for name in inputs}])
    def compiled(inputs):
        return gradients(inputs)

    def gradients(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(student.model(inputs)["logits"]))
        return tape.gradient(loss, variables)

    for one, other in zip(gradients(inputs), compiled(inputs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


# Graphs


def ragged_batch() -> dict[str, np.ndarray]:
    """Rows of 9, 5, 1 and no positions."""
    return rows((9, 5, 1, 0), width=9)


def run_graph(graph, batch: dict) -> np.ndarray:
    from xtremedistil.serving.onnx_runtime import OnnxFunction

    return OnnxFunction(graph.SerializeToString(), "graph")(batch)["logits"]


def graph_of(student, **options):
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    pytest.importorskip("onnx", reason="the onnx extra is not installed")
    from xtremedistil.export.onnx.student_graph import build_student_graph, quantizable_parts, weights_of

    weights = weights_of(student)
    if options.pop("in_8_bits", False):
        options["quantized"] = quantizable_parts(weights)
    notes = {"xtremedistil": "token_classification", "labels": ["O"], "weights": ""}
    return build_student_graph(weights, notes=notes, **options)


@pytest.mark.parametrize("by_position", [True, False])
@pytest.mark.parametrize("teacher_width", [WIDTH, WIDTH + 4])
def test_graph_equals_keras_on_ragged_rows_and_one_without_tokens(by_position, teacher_width):
    student, batch = shaken_student(by_position, teacher_width), ragged_batch()
    expected = student.model(tensors(batch))["logits"].numpy()
    np.testing.assert_allclose(run_graph(graph_of(student), batch), expected, atol=1e-5)


def test_graph_answers_where_no_row_has_a_token():
    batch = rows((0, 0), width=3)
    assert np.isfinite(run_graph(graph_of(shaken_student()), batch)).all()


def test_graph_has_standard_operators_and_one_lstm_a_layer():
    nodes = graph_of(shaken_student()).graph.node
    assert {node.domain for node in nodes} == {""}
    found = Counter(node.op_type for node in nodes)
    assert (found["LSTM"], found["MatMul"], found["LayerNormalization"], found["Loop"]) == (2, 1, 1, 0)


@pytest.mark.parametrize("reduce_range", [False, True])
def test_graph_in_8_bits_is_near(reduce_range):
    student, batch = shaken_student(), ragged_batch()
    graph = graph_of(student, in_8_bits=True, reduce_range=reduce_range)
    expected = student.model(tensors(batch))["logits"].numpy()
    assert 0 < np.abs(run_graph(graph, batch) - expected).max() < 0.3 * expected.std()
    found = Counter(node.op_type for node in graph.graph.node)
    assert (found["DynamicQuantizeLSTM"], found["DynamicQuantizeMatMul"], found["LSTM"]) == (2, 1, 0)


# Commands

RECORDS = {"report.json", "run-settings.json", "checksums.json"}
FLAGS = {
    "student_kind": "bilstm",
    "hidden_size": 8,
    "lstm_units": 6,
    "num_hidden_layers": 2,
    "distil_multi_hidden_states": True,
    "embedding_weight": 1.0,
    "compress_word_embedding": True,
}


@pytest.fixture(scope="session")
def finished(tagging, tmp_path_factory) -> Path:
    """The folder of a whole run; tests must not change it."""
    from xtremedistil import cli

    folder = tmp_path_factory.mktemp("bilstm")
    flags = tagging.flags(folder / "student", teacher_model_dir=folder / "teacher", **FLAGS)
    assert cli.main(["distil", *flags]) == 0
    return folder / "student"


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def test_distil_writes_the_files_of_any_student(finished):
    stages = [f"model-stage-{number}-indx-0" for number in (1, 2, 3, 4)] + [f"model-stage-{n}" for n in (5, 6, 7)]
    stage_files = {stage + ending for stage in stages for ending in (".h5", "-history.json")}
    tokenizer = {"vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"}
    student = {"xtremedistil.h5", "xtremedistil-config.json", "word_embedding.npy"}
    assert set(contents(finished)) == {*student, *stage_files, *tokenizer, *RECORDS}


def test_saved_configuration_says_what_the_student_is(finished):
    saved = json.loads((finished / "xtremedistil-config.json").read_text())
    student = saved["student_config"]
    assert student["model_type"] == saved["student_kind"] == "bilstm"
    assert (student["embedding_size"], student["lstm_units"], student["num_hidden_layers"]) == (8, 6, 2)
    assert (saved["hidden_size"], saved["teacher_hidden_size"]) == (12, TEACHER_WIDTH)


def test_first_stage_matched_all_states_with_the_teachers(finished):
    history = json.loads((finished / "model-stage-1-indx-0-history.json").read_text())
    found = {word for word in json.dumps(history).replace('"', " ").split() if word.startswith("hidden_states")}
    assert {name.rpartition("_")[2] for name in found} == {"0", "1", "2"}


@pytest.mark.slow
def test_second_run_in_another_folder_gives_the_same_bytes(finished, tagging, run_command, tmp_path):
    flags = tagging.flags(tmp_path / "student", teacher_model_dir=finished.parent / "teacher", **FLAGS)
    assert run_command("distil", *flags).code == 0
    expected, found = contents(finished), contents(tmp_path / "student")
    weights = [name for name in found if name.endswith((".h5", ".npy"))]
    assert [name for name in weights if found[name] != expected[name]] == []


def test_student_loads_and_predicts(finished):
    model = xtremedistil.load_student(str(finished))
    assert model(tensors(rows()))["logits"].shape == (2, 5, 3)
    assert len(xtremedistil.load_predictor(str(finished))(["john ran in london ."])[0]) == 5


@pytest.mark.slow
def test_two_devices_and_frozen_embeddings_train(tagging, run_command, tmp_path):
    changes = FLAGS | {"strategy": "mirrored", "freeze_word_embedding": True, "num_hidden_layers": 1}
    outcome = run_command("distil", *tagging.flags(tmp_path / "m", **changes))
    assert outcome.code == 0, outcome.err
    frozen = np.load(tmp_path / "m/word_embedding.npy")
    student = xtremedistil.load_student(str(tmp_path / "m"))
    assert any(np.array_equal(variable.numpy(), frozen) for variable in student.weights)


def test_continued_training_writes_a_weight_file_that_loads(copy, run_command):
    outcome = run_command("ft", "--model_dir", copy, "--ft_epochs", 1, "--batch_size", 8)
    assert outcome.code == 0, outcome.err
    before, after = (
        xtremedistil.load_student(str(copy), weights=name).get_weights()
        for name in ("xtremedistil.h5", "xtremedistil-ft.h5")
    )
    assert all(np.isfinite(array).all() for array in after)
    assert any(not np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def test_exports_serve_what_keras_says(copy, run_command, tmp_path):
    for module in ("onnx", "onnxruntime", "tf2onnx"):
        pytest.importorskip(module, reason="the onnx extra is not installed")
    outcome = run_command("export", "--model_dir", copy, "--to", "onnx", "int8", "--max_metric_drop", 100)
    assert outcome.code == 0, outcome.err
    exports = json.loads((copy / "export.json").read_text())["exports"]
    assert all(exports[form]["largest_difference"] < 1e-5 for form in ("onnx", "onnx_opt"))
    (tmp_path / "lines.txt").write_text("john ran in london .\n\nthe big unbelievable park\n", encoding="utf-8")
    flags = ("--model_dir", copy, "--do_predict", "--pred_file", tmp_path / "lines.txt", "--do_eval")
    for verb in ("predict", "predict-onnx"):
        assert run_command(verb, *flags, "--output_dir", tmp_path / verb).code == 0
    assert contents(tmp_path / "predict-onnx") == contents(tmp_path / "predict")


@pytest.mark.slow
def test_saved_model_equals_keras(copy, run_command):
    pytest.importorskip("tensorflow_text", reason="the text extra is not installed")
    outcome = run_command("export", "--model_dir", copy, "--to", "saved_model")
    assert outcome.code == 0, outcome.err
    exported = json.loads((copy / "export.json").read_text())["exports"]["saved_model"]
    assert exported["largest_difference"] < 1e-5 and exported["label_agreement"] == 1


def test_hugging_face_export_is_refused(copy, run_command):
    outcome = run_command("export", "--model_dir", copy, "--to", "onnx", "huggingface")
    assert outcome.code == 2
    assert "--to huggingface: the student is a BiLSTM, and transformers has no such class" in outcome.err


def test_dry_run_says_what_the_student_is(tagging, run_command, tmp_path):
    outcome = run_command("distil", *tagging.flags(tmp_path / "m", dry_run=True, **FLAGS))
    assert outcome.code == 0, outcome.err
    assert "student 2 BiLSTM layers x 2 x 6 units, embeddings 8 wide" in outcome.out
    assert "head+dense+student" in outcome.out


@pytest.mark.slow
def test_classifier_of_texts_trains_as_wide_as_its_teacher(tagging, eagerly, run_command, tmp_path):
    write_text_task(tmp_path / "task")
    write_rows(tmp_path / "transfer.txt", [(" ".join(words),) for words in sentences(12, 6)])
    material = Material(tmp_path / "task", tmp_path / "transfer.txt", tagging.teacher)
    changes = FLAGS | {"num_hidden_layers": 1, "lstm_units": None}  # hidden_size then: 2 x 8 is the teacher's width
    assert run_command("distil", *material.flags(tmp_path / "m", **changes)).code == 0
    assert xtremedistil.load_predictor(str(tmp_path / "m"))(["the cat sat"])
