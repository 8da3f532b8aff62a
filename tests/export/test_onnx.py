"""ONNX: graphs of every student family, fused operators, int8, the predictor, the commands."""

import copy
import errno
import functools
import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

import xtremedistil
from tests.command_fixtures import assert_refused, contents, write_rows
from tests.conftest import slow
from tests.model_fixtures import BERT_FIRST, HIDDEN, LAYERS, STUDENTS, VOCABULARY, shaken_encoder
from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.models.architectures.families import FAMILIES

tf = pytest.importorskip("tensorflow")
onnx = pytest.importorskip("onnx", reason="the onnx extra is not installed")
pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
pytest.importorskip("tf2onnx", reason="the onnx extra is not installed")

NOTES = {"xtremedistil": "token_classification", "labels": ["O"], "weights": ""}
GRAPHS = {"xtremedistil.onnx", "xtremedistil_opt.onnx"}


@functools.cache
def shaken_student(class_name: str, by_position: bool = True, width: int = 16):
    """A tiny student whose every weight matters; tests must not change it."""
    from xtremedistil.models.student import build_student

    family = FAMILIES[class_name]
    encoder = shaken_encoder(class_name)
    student = build_student(encoder, family, by_position=by_position, num_labels=5, teacher_hidden_size=width)
    for layer in (student.projection, student.head):
        if layer is not None:
            layer.bias.assign(tf.random.stateless_normal(layer.bias.shape, [1, 2]))
    return student


def padded_batch(pad_id: int = 0) -> dict[str, np.ndarray]:
    """Three rows of 9, 5 and 1 positions, of both token types."""
    generator = np.random.default_rng(3)
    mask = (np.arange(9) < np.array([[9], [5], [1]])).astype(np.int32)
    ids = np.where(mask, generator.integers(3, VOCABULARY, mask.shape), pad_id).astype(np.int32)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": (mask * (np.arange(9) > 3)).astype(np.int32)}


def run_graph(graph, batch: dict) -> np.ndarray:
    from xtremedistil.serving.onnx_runtime import OnnxFunction

    return OnnxFunction(graph.SerializeToString(), "graph")(batch)["logits"]


def real_difference(student, graph) -> float:
    """Largest difference of logits at real positions."""
    batch = padded_batch(getattr(student.encoder.config, "pad_token_id", 0) or 0)
    expected, found = student.model(batch, training=False)["logits"].numpy(), run_graph(graph, batch)
    real = batch["attention_mask"].astype(bool) if expected.ndim == 3 else slice(None)
    return float(np.abs(expected - found)[real].max())


def fused_graph(student, **changes):
    from xtremedistil.export.onnx.onnx_files import weights_of
    from xtremedistil.export.onnx.transformer_graph import build_graph

    return build_graph(weights_of(student), notes=NOTES, **changes)


def everything_in_8_bits(student, **changes):
    from xtremedistil.export.onnx.onnx_files import weights_of
    from xtremedistil.export.onnx.transformer_graph import quantizable

    return fused_graph(student, quantized=quantizable(weights_of(student)), **changes)


def operators(graph) -> Counter:
    return Counter(node.op_type for node in graph.graph.node)


# Graphs


@pytest.mark.parametrize("class_name", BERT_FIRST)
def test_fused_graph_of_every_family_equals_keras_on_padded_rows(class_name):
    student = shaken_student(class_name)
    assert real_difference(student, fused_graph(student)) < 1e-4


@pytest.mark.parametrize("class_name", STUDENTS)
def test_fused_graph_has_one_fused_operator_for_each_place(class_name):
    found, electra = operators(fused_graph(shaken_student(class_name))), class_name == "TFElectraModel"
    assert found["EmbedLayerNormalization"] == 1
    assert found["MultiHeadAttention"] == found["BiasGelu"] == LAYERS
    assert (found["LayerNormalization"], found["Sum"]) == (2 * LAYERS, 2 * LAYERS + 1 + electra)
    assert found["MatMul"] == 4 * LAYERS + 1 + electra  # whose embeddings are narrower
    assert not found.keys() & {"Erf", "Softmax", "ReduceMean", "Transpose", "Reshape"}


@pytest.mark.parametrize("class_name", BERT_FIRST)
def test_plain_graph_of_every_family_equals_keras_on_padded_rows(class_name):
    from xtremedistil.export.onnx.standard_graph import convert

    student = shaken_student(class_name)
    graph = convert(student.model, NOTES)
    assert real_difference(student, graph) < 1e-4
    assert "Erfc" not in operators(graph)
    shapes = {value.name: [d.dim_param for d in value.type.tensor_type.shape.dim] for value in graph.graph.input}
    assert set(map(tuple, shapes.values())) == {("batch", "sequence")}


@pytest.mark.slow
@pytest.mark.parametrize(("class_name", "width"), [("TFRobertaModel", 16), *slow(("TFBertModel", HIDDEN))])
def test_graphs_of_classifiers_equal_keras(class_name, width):
    from xtremedistil.export.onnx.standard_graph import convert

    student = shaken_student(class_name, False, width)
    for graph in (fused_graph(student), convert(student.model, NOTES)):
        assert real_difference(student, graph) < 1e-4
        assert [d.dim_param or d.dim_value for d in graph.graph.output[0].type.tensor_type.shape.dim] == ["batch", 5]


def test_fused_graph_refuses_an_activation_without_operator():
    from dataclasses import replace

    from xtremedistil.export.onnx.onnx_files import weights_of
    from xtremedistil.export.onnx.transformer_graph import build_graph

    weights = replace(weights_of(shaken_student("TFBertModel")), activation="mish")
    with pytest.raises(InputError, match="activation 'mish' has no operator here; known: gelu"):
        build_graph(weights)


@pytest.mark.parametrize("activation", ["relu", "gelu_new"])
def test_fused_graph_knows_other_activations(activation):
    from tests.model_fixtures import tiny_config
    from xtremedistil.models.checkpoints.pretrained import new_encoder_from_config
    from xtremedistil.models.student import build_student

    family = FAMILIES["TFBertModel"]
    config = tiny_config("TFBertModel") | {"hidden_act": activation, "initializer_range": 0.5}
    encoder = new_encoder_from_config(config, family, name="student_2")
    student = build_student(encoder, family, by_position=True, num_labels=5, teacher_hidden_size=16)
    assert real_difference(student, fused_graph(student)) < 1e-4


def test_unknown_operator_is_an_error(tagged_tf_function):
    from xtremedistil.export.onnx.standard_graph import convert

    with pytest.raises(InputError, match="cannot convert .*Betainc.*; nothing was written"):
        convert(tagged_tf_function, NOTES)


@pytest.fixture
def tagged_tf_function():
    """A model with an operator that ONNX has not."""

    class Strange(tf.keras.Model):
        def call(self, inputs, training=False):
            values = tf.cast(inputs["input_ids"] + inputs["attention_mask"] + inputs["token_type_ids"], tf.float32)
            return {"logits": tf.math.betainc(values, values, 0.5 * tf.ones_like(values))[..., None]}

    return Strange()


# int8


@pytest.mark.parametrize("class_name", STUDENTS)
def test_8_bits_are_near_and_smaller(class_name):
    student = shaken_student(class_name)
    graph = everything_in_8_bits(student)
    spread = student.model(padded_batch(), training=False)["logits"].numpy().std()
    assert 0 < real_difference(student, graph) < 0.3 * spread
    found = operators(graph)
    assert found["DynamicQuantizeMatMul"] == 4 * LAYERS + 1 + (class_name == "TFElectraModel")
    assert found["MatMul"] == 0
    kinds = Counter(tensor.data_type for tensor in graph.graph.initializer)
    assert kinds[onnx.TensorProto.INT8] == found["DynamicQuantizeMatMul"] + 1  # the word embeddings


def test_parts_left_out_stay_in_float32():
    found = operators(fused_graph(shaken_student("TFBertModel"), quantized=["layer_0/output"]))
    assert (found["DynamicQuantizeMatMul"], found["EmbedLayerNormalization"]) == (1, 1)


def test_reduced_range_keeps_weights_within_7_bits():
    from onnx import numpy_helper

    graph = everything_in_8_bits(shaken_student("TFBertModel"), reduce_range=True)
    largest = {t.name: int(np.abs(numpy_helper.to_array(t).astype(int)).max()) for t in graph.graph.initializer}
    kernels = {name: value for name, value in largest.items() if name.endswith("/kernel")}
    assert kernels and set(kernels.values()) == {63}
    assert largest["embeddings/words"] == 127  # looked up, never multiplied in 8 bits


@pytest.mark.slow
@pytest.mark.parametrize("best", ["embeddings", "layer_0/attention", "classifier"])
def test_search_gives_back_the_worst_part_first(best, monkeypatch, exported_source):
    """A metric that only tolerates 8 bits where one part is left out."""
    from xtremedistil.export.onnx import quantization

    errors = {"embeddings": 1.0, "layer_0/attention": 1.0, "classifier": 1.0, best: 5.0}
    monkeypatch.setattr(quantization._Search, "_error", lambda self, parts: errors.get(parts[0], 0.0))
    monkeypatch.setattr(quantization._Search, "drop", lambda self, parts: 2.0 * (best in parts))
    exported = quantization.write_int8(exported_source, max_metric_drop=0.5, reduce_range=False)
    assert exported.remarks[0] == f"left in float32: {best}"


def test_search_says_that_it_cannot_and_writes_nothing(monkeypatch, exported_source):
    from xtremedistil.export.onnx import quantization

    def drop(self, parts):
        self.drops.append(3.0)
        return 3.0

    monkeypatch.setattr(quantization._Search, "drop", drop)
    with pytest.raises(InputError, match="cannot stay within `max_metric_drop` 0.5: all in 8 bits costs 3.00 points"):
        quantization.write_int8(exported_source, max_metric_drop=0.5, reduce_range=False)
    assert not os.path.exists(os.path.join(exported_source.model_dir, "xtremedistil_int8.onnx"))


@pytest.fixture
def exported_source(distilled, tmp_path):
    from xtremedistil.export.common.source import open_source

    return open_source(shutil.copytree(distilled / "student", tmp_path / "source"))


# Commands


@pytest.fixture(scope="session")
def exported(distilled, tmp_path_factory) -> Path:
    """A student's folder with all graphs; tests must not change it."""
    from xtremedistil import cli

    folder = tmp_path_factory.mktemp("exported") / "student"
    shutil.copytree(distilled / "student", folder)
    flags = ["--model_dir", str(folder), "--to", "onnx", "int8", "--max_metric_drop", "100"]
    assert cli.main(["export", *flags]) == 0
    return folder


@pytest.fixture
def writable(exported, tmp_path) -> Path:
    """A copy without the checksums, which would tell of every change first."""
    folder = Path(shutil.copytree(exported, tmp_path / "student"))
    (folder / "checksums.json").unlink()
    return folder


@pytest.mark.parametrize("damage", ["a byte", "the end"])
@pytest.mark.parametrize("name", ["xtremedistil_opt.onnx", "xtremedistil_int8.onnx"])
def test_damaged_graph_is_refused_and_not_written_anew(exported, run_command, tmp_path, name, damage):
    folder = Path(shutil.copytree(exported, tmp_path / "student"))
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data if damage == "a byte" else data[:-100])
    before = contents(folder)
    quantize = ["--quantize"] if "int8" in name else []
    outcome = run_command("predict-onnx", "--model_dir", folder, "--do_eval", *quantize)
    assert_refused(outcome, f"{folder / name} is not as written", "--accept_weights")
    assert contents(folder) == before


def test_export_adds_exactly_these_files(distilled, exported):
    added = set(contents(exported)) - set(contents(distilled / "student"))
    assert added == GRAPHS | {"xtremedistil_int8.onnx", "export.json"}


def test_export_json_holds_the_measured_parity(exported):
    saved = json.loads((exported / "export.json").read_text())
    assert set(saved["exports"]) == {"onnx", "onnx_opt", "int8"}
    for form, entry in saved["exports"].items():
        assert entry["bytes"] == (exported / entry["path"]).stat().st_size
        assert entry["rows"] > 0 and entry["milliseconds"] > 0
        assert set(entry["metric"]) == {"name", "student", "export"}
        assert entry["largest_difference"] < (1e-4 if form != "int8" else 1.0)
    assert all(saved["exports"][form]["label_agreement"] == 1 for form in ("onnx", "onnx_opt"))


def test_export_refuses_a_graph_that_differs(distilled, run_command, tmp_path, monkeypatch):
    from xtremedistil.export.onnx import onnx_files

    folder = Path(shutil.copytree(distilled / "student", tmp_path / "student"))
    real = onnx_files.weights_of

    def spoilt(student):
        weights = real(student)
        weights.classifier.bias[:] += 0.01
        return weights

    monkeypatch.setattr(onnx_files, "weights_of", spoilt)
    outcome = run_command("export", "--model_dir", folder)
    assert outcome.code == 2
    assert "xtremedistil_opt.onnx export differs from the student by 0.01" in outcome.err
    assert "nothing was written" in outcome.err
    assert not set(contents(folder)) & GRAPHS


@pytest.mark.slow
def test_export_compares_on_a_text_file(writable, run_command, tmp_path):
    write_rows(tmp_path / "rows.txt", [("john ran in london .",), ("mary sat",)])
    outcome = run_command("export", "--model_dir", writable, "--to", "int8", "--rows", tmp_path / "rows.txt")
    assert outcome.code == 0
    assert "no labels" in outcome.out
    assert json.loads((writable / "export.json").read_text())["exports"]["int8"]["metric"] is None


def test_export_without_rows_says_what_to_give(writable, run_command):
    change_config(writable, task="/nowhere/task")
    outcome = run_command("export", "--model_dir", writable)
    assert outcome.code == 2
    assert "/nowhere/task is not there" in outcome.err and "--rows" in outcome.err


LINES = ["john ran in london .", "", "the big unbelievable park " * 8, "თბილისი mary", "rome\tO"]


def test_predict_onnx_writes_what_predict_writes(exported, run_command, tmp_path):
    (tmp_path / "lines.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    flags = ("--model_dir", exported, "--do_predict", "--pred_file", tmp_path / "lines.txt", "--do_eval")
    before = contents(exported)
    for verb in ("predict", "predict-onnx"):
        assert run_command(verb, *flags, "--output_dir", tmp_path / verb).code == 0
    found = contents(tmp_path / "predict-onnx")
    assert found == contents(tmp_path / "predict")
    assert found.keys() == {"predictions.txt", "metrics.json"}
    assert len(found["predictions.txt"].decode().splitlines()) == len(LINES)
    assert contents(exported) == before


def change_config(folder: Path, **changes) -> None:
    path = folder / "xtremedistil-config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.slow
def test_predict_onnx_exports_first_where_no_graph_is(distilled, run_command, tmp_path):
    """Even where the task is not: it compares on the lines to label then."""
    folder = Path(shutil.copytree(distilled / "student", tmp_path / "student"))
    change_config(folder, task="/nowhere/task")
    (tmp_path / "lines.txt").write_text("john ran\n")
    outcome = run_command("predict-onnx", "--model_dir", folder, "--do_predict", "--pred_file", tmp_path / "lines.txt")
    assert outcome.code == 0, outcome.err
    assert GRAPHS | {"predictions.txt"} <= set(contents(folder))


def test_folder_of_the_original_release_is_exported_and_gets_the_tokenizer(shared_data, run_command, tmp_path):
    original = shared_data / "fixtures/original-release"
    folder = tmp_path / "m"
    shutil.copytree(original / "ner-frozen-embedding-attention", folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    flags = ["--model_dir", folder, "--do_predict", "--pred_file", original / "tasks/prediction-input.txt", "--legacy"]
    before = set(contents(folder))
    outcome = run_command("predict-onnx", *flags, "--pt_teacher_checkpoint", original / "checkpoints/teacher")
    assert outcome.code == 0, outcome.err
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"}
    assert set(contents(folder)) - before == GRAPHS | tokenizer | {"export.json", "checksums.json"}
    (folder / "predictions.txt").unlink()
    assert run_command("predict-onnx", *flags).code == 0
    # The original's tags after an unknown word are off by one.
    found, expected = (
        {line for line in (place / "predictions.txt").read_text().splitlines() if "sat on paris" not in line}
        for place in (folder, original / "ner-frozen-embedding-attention")
    )
    assert found == expected


def test_predict_onnx_takes_a_line_of_100_000_words_and_an_empty_file(writable, run_command, tmp_path):
    (tmp_path / "long.txt").write_text("john ran in london . " * 20_000 + "mary\nrome\n")
    flags = ("--model_dir", writable, "--do_predict", "--batch_size", 64, "--pred_file")
    assert run_command("predict-onnx", *flags, tmp_path / "long.txt").code == 0
    words, tags = (writable / "predictions.txt").read_text().splitlines()[0].split("\t")
    assert len(tags.split(" ")) == len(words.split(" ")) == 100_001
    (tmp_path / "empty.txt").write_text("")
    assert run_command("predict-onnx", *flags, tmp_path / "empty.txt").code == 0
    assert (writable / "predictions.txt").read_text() == ""


def test_predict_onnx_quantized_reads_the_int8_graph(writable):
    (writable / "xtremedistil_opt.onnx").unlink()
    (writable / "xtremedistil.onnx").unlink()
    predictor = xtremedistil.load_predictor(str(writable), runtime="onnx", quantize=True)
    assert predictor.predict_function.notes["int8"]
    assert len(predictor(["john ran"])[0]) == 2


# The predictor


def test_onnx_predictor_gives_what_the_keras_predictor_gives(exported):
    keras = xtremedistil.load_predictor(str(exported))
    onnx_predictor = xtremedistil.load_predictor(str(exported), runtime="onnx")
    for one, other in zip(keras.probabilities(LINES), onnx_predictor.probabilities(LINES), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert onnx_predictor([]) == []


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["keras", "onnx"])
def test_threads_share_a_predictor(exported, runtime):
    predictor = xtremedistil.load_predictor(str(exported), runtime=runtime)
    texts = [f"{name} ran in the {thing} ." for name in ("john", "mary", "rome") for thing in ("park", "london")]
    expected, found = predictor(texts), {}

    def work(number: int) -> None:
        found[number] = [predictor([text])[0] for text in texts * 10]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == expected * 10 for number in range(6))


def test_onnx_predictor_needs_onnxruntime_tokenizers_and_numpy_only(exported):
    """In a process of its own where everything else that we depend on cannot be imported."""
    program = (
        "import sys, time\n"
        "banned = 'tensorflow tf_keras keras transformers h5py sklearn seqeval safetensors sentencepiece onnx tf2onnx "
        "ml_dtypes torch'.split()\n"
        "sys.modules.update(dict.fromkeys(banned))\n"
        "import xtremedistil\n"
        "started = time.perf_counter()\n"
        "predictor = xtremedistil.load_predictor(sys.argv[1], runtime='onnx')\n"
        "print(predictor(['john ran in london .'])[0])\n"
        "from xtremedistil import cli\n"
        "sys.exit(cli.main(['predict-onnx', '--model_dir', sys.argv[1], '--do_predict', '--pred_file', sys.argv[2]]))\n"
    )
    lines = exported.parent / "lines.txt"
    lines.write_text("john ran\n")
    command = [sys.executable, "-c", program, str(exported), str(lines)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    keras = xtremedistil.load_predictor(str(exported))(["john ran in london ."])[0]
    assert done.stdout.splitlines()[0] == str(keras)
    (exported / "predictions.txt").unlink()


@pytest.mark.slow
@pytest.mark.network
def test_serving_requirements_are_enough(exported, tmp_path):
    """A venv with `requirements-serve.txt` and the package without its dependencies."""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [tmp_path / "venv/bin/python", "-m", "pip", "install", "-q"]
    subprocess.run([*pip, "-r", root / "requirements-serve.txt"], check=True)
    subprocess.run([*pip, "--no-deps", str(root)], check=True)
    program = "import sys, xtremedistil; print(xtremedistil.load_predictor(sys.argv[1], runtime='onnx')(['john ran']))"
    command = [tmp_path / "venv/bin/python", "-c", program, str(exported)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(xtremedistil.load_predictor(str(exported))(["john ran"]))


# Bad input


def test_graph_of_other_weights_is_refused(writable):
    with h5py.File(writable / "xtremedistil.h5", "a") as file:
        file["dense/dense/bias:0"][...] += 1
    with pytest.raises(InputError, match="was made of other weights than .*/xtremedistil.h5 holds now"):
        xtremedistil.load_predictor(str(writable), runtime="onnx")


def test_predict_onnx_heeds_the_weight_file_it_is_given(writable, run_command, tmp_path):
    (tmp_path / "lines.txt").write_text("john ran\n")
    flags = ["--model_dir", writable, "--do_predict", "--pred_file", tmp_path / "lines.txt", "--weights", "other.h5"]
    outcome = run_command("predict-onnx", *flags)
    assert outcome.code == 2 and "other.h5 does not exist" in outcome.err
    shutil.copyfile(writable / "baseline.h5", writable / "other.h5")
    outcome = run_command("predict-onnx", *flags)
    assert outcome.code == 2 and "was made of other weights than" in outcome.err and "--weights other.h5" in outcome.err
    shutil.copyfile(writable / "xtremedistil.h5", writable / "other.h5")
    assert run_command("predict-onnx", *flags).code == 0


def test_graph_of_other_labels_is_refused(writable):
    (writable / "xtremedistil.h5").unlink()
    change_config(writable, label_list=["O", "B-LOC", "B-PER"])
    with pytest.raises(InputError, match="(?s)files of two students.*graph: O, B-PER, B-LOC.*json: O, B-LOC, B-PER"):
        xtremedistil.load_predictor(str(writable), runtime="onnx")


@pytest.mark.parametrize("runtime", ["keras", "onnx"])
def test_tokenizer_of_another_model_is_refused(exported, word_piece_folder, tmp_path, runtime):
    folder = Path(shutil.copytree(word_piece_folder, tmp_path / "tokenizer"))
    with open(folder / "vocab.txt", "a") as file:
        file.write("more\npieces\n")
    with pytest.raises(InputError, match=r"has \d+ tokens, the student in .* has \d+: it belongs"):
        xtremedistil.load_predictor(str(exported), runtime=runtime, tokenizer=str(folder))


def test_folder_without_tokenizer_says_which_files_it_lacks_where_transformers_is_not_there(writable, monkeypatch):
    (writable / "special_tokens_map.json").unlink()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match="(?s)needs transformers, .*tokenizer.json, special_tokens_map.json, tokeniz"):
        xtremedistil.load_predictor(str(writable), runtime="onnx")


@pytest.mark.parametrize("setting", ["batch_size", "num_threads"])
def test_predictor_refuses_sizes_below_one(exported, setting):
    with pytest.raises(ValueError, match=f"{setting} is 0; it is a whole number of at least 1"):
        xtremedistil.load_predictor(str(exported), runtime="onnx", **{setting: 0})


def test_student_that_answers_nan_is_refused(distilled, run_command, tmp_path):
    folder = Path(shutil.copytree(distilled / "student", tmp_path / "student"))
    (folder / "checksums.json").unlink()
    with h5py.File(folder / "xtremedistil.h5", "a") as file:
        file["dense/dense/bias:0"][...] = np.nan
    outcome = run_command("export", "--model_dir", folder, "--to", "int8")
    assert outcome.code == 2 and "training went wrong" in outcome.err
    assert "xtremedistil_int8.onnx" not in contents(folder)


@pytest.mark.slow
def test_full_disk_leaves_neither_graph(distilled, run_command, tmp_path, monkeypatch):
    def no_space(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = Path(shutil.copytree(distilled / "student", tmp_path / "student"))
    before = contents(folder)
    monkeypatch.setattr(os, "fsync", no_space)
    outcome = run_command("export", "--model_dir", folder)
    assert outcome.code == 2 and "cannot be written: No space left on device" in outcome.err
    assert contents(folder) == before


def test_damaged_record_of_exports_is_replaced(writable, run_command, tmp_path):
    (writable / "export.json").write_text("{")
    write_rows(tmp_path / "rows.txt", [("john ran in london .",)])
    assert run_command("export", "--model_dir", writable, "--to", "int8", "--rows", tmp_path / "rows.txt").code == 0
    assert set(json.loads((writable / "export.json").read_text())["exports"]) == {"int8"}


def test_missing_graph_names_the_command(distilled):
    with pytest.raises(MissingFileError, match="holds no xtremedistil_opt.onnx. Write it: xtremedistil export"):
        xtremedistil.load_predictor(str(distilled / "student"), runtime="onnx")


def test_damaged_graph_is_refused(writable):
    path = writable / "xtremedistil_opt.onnx"
    path.write_bytes(path.read_bytes()[:1000])
    message = "(?s)xtremedistil_opt.onnx cannot be loaded by ONNX Runtime.*Write it again: xtremedistil export --model_"
    with pytest.raises(InputError, match=message):
        xtremedistil.load_predictor(str(writable), runtime="onnx")


@pytest.mark.parametrize("inside", ["x", "input_ids"])
@pytest.mark.parametrize("metadata", [{}, {"author": "somebody"}, {"xtremedistil": '"token_classification"'}])
def test_foreign_graph_is_refused(writable, inside, metadata):
    from onnx import TensorProto, helper

    values = [
        helper.make_tensor_value_info(inside, TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n"]),
    ]
    node = helper.make_node("Cast", [inside], ["logits"], to=TensorProto.FLOAT)
    graph = helper.make_graph([node], "foreign", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, writable / "xtremedistil_opt.onnx")
    with pytest.raises(InputError, match=rf"is not an export of this package \(inputs {inside}; outputs logits\)"):
        xtremedistil.load_predictor(str(writable), runtime="onnx")


def test_predictor_is_copied_and_pickled(exported):
    predictor = xtremedistil.load_predictor(str(exported), runtime="onnx")
    expected = predictor(LINES)
    for again in (copy.deepcopy(predictor), pickle.loads(pickle.dumps(predictor))):
        assert again(LINES) == expected


def test_unknown_runtime_is_refused(exported):
    with pytest.raises(ValueError, match='There is no runtime "torch"; there are: keras, onnx'):
        xtremedistil.load_predictor(str(exported), runtime="torch")


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--max_metric_drop", "-1"], "--max_metric_drop -1.0: must not be negative"),
        (["--rows", "nothing.txt"], "nothing.txt does not exist"),
        (["--rows", "r", "--task", "t"], "--rows and --task exclude each other"),
        (["--task", "/nowhere", "--weights", "no.h5"], "(2 problems)"),
    ],
)
def test_export_refuses_contradictions(exported, run_command, flags, words):
    outcome = run_command("export", "--model_dir", exported, *flags)
    assert outcome.code == 2 and words in outcome.err


def test_predict_onnx_on_a_folder_that_is_not_there_is_refused(run_command, tmp_path):
    outcome = run_command("predict-onnx", "--model_dir", tmp_path / "no", "--do_eval")
    assert outcome.code == 2 and "Cannot predict" in outcome.err and "there is no such folder" in outcome.err


@pytest.mark.parametrize("verb", ["export", "predict"])
def test_commands_that_need_tensorflow_say_so_where_it_is_not_installed(exported, run_command, monkeypatch, verb):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else find(name))
    outcome = run_command(verb, "--model_dir", exported)
    assert outcome.code == 2
    assert "needs tensorflow, not installed here. Install it: pip install xtremedistil" in outcome.err
