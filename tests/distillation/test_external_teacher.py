"""Distillation from a teacher that came from elsewhere: a file of logits, or an ONNX graph."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.command_fixtures import (
    TAGS,
    Material,
    contents,
    sentences,
    tag_of,
    write_rows,
    write_tagging_task,
    write_text_task,
)
from tests.conftest import slow
from tests.distillation.logit_files import write_parquet
from tests.model_fixtures import task_logits

tf = pytest.importorskip("tensorflow")

CLASSES = ["animal", "town"]


@pytest.fixture(scope="session")
def texts(tmp_path_factory, word_piece_folder) -> Material:
    """Classification; a folder without weights gives the tokenizer."""
    root = tmp_path_factory.mktemp("texts")
    write_text_task(root / "task")
    lines = [" ".join(words) for words in sentences(30, 4)]
    (root / "transfer.txt").write_text("\n\n".join(lines) + "\n", encoding="utf-8")  # a blank line after each
    return Material(root / "task", root / "transfer.txt", word_piece_folder)


@pytest.fixture(scope="session")
def tags(tmp_path_factory, word_piece_folder) -> Material:
    """Tagging; some sentences are longer than a row."""
    root = tmp_path_factory.mktemp("tags")
    write_tagging_task(root / "task")
    words = [
        [*words, *words, "", "\u200b"] if number % 5 == 0 else words for number, words in enumerate(sentences(30, 4))
    ]
    write_rows(root / "transfer.txt", [(" ".join(some),) for some in words])
    return Material(root / "task", root / "transfer.txt", word_piece_folder, ("--do_NER",))


def lines_of(material: Material) -> list[list[str]]:
    """The words of each example of the transfer file."""
    return [line.split(" ") for line in material.transfer.read_text(encoding="utf-8").splitlines() if line.strip()]


def write_targets(path: Path, material: Material, columns=None, **changes) -> Path:
    """What a teacher would say that knows the answers: 3 for the right label, -1 for the others."""
    lines = lines_of(material)
    if "--do_NER" in material.kind_flags:
        labels, answers = TAGS, [tag_of(word) for words in lines for word in words]
        changes = {"word_counts": np.array([len(words) for words in lines])} | changes
    else:
        labels, answers = CLASSES, ["animal" if {"cat", "dog"} & set(words) else "town" for words in lines]
    labels = [labels[column] for column in columns or range(len(labels))]
    logits = np.array([[3.0 if label == answer else -1.0 for label in labels] for answer in answers], np.float32)
    arrays = {"row_ids": np.arange(len(lines)), "logits": logits, "labels": np.array(labels)}
    np.savez(path, **(arrays | changes))
    return path


def weights(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(folder).items() if name.endswith((".h5", ".npy"))}


def student_weights(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in weights(folder).items() if "/" not in name}


# A file


@pytest.mark.parametrize("kind", ["texts", *slow("tags")])
def test_distil_from_a_file_writes_a_student_after_four_stages(kind, request, eagerly, run_command, tmp_path):
    material = request.getfixturevalue(kind)
    targets = write_targets(tmp_path / "targets.npz", material)
    outcome = run_command("distil", *material.flags(tmp_path / "m", teacher_logits=targets))
    assert outcome.code == 0, outcome.err
    assert "logits of 30 examples in" in outcome.err
    report = json.loads((tmp_path / "m/report.json").read_text())
    assert [row["name"] for row in report["rows"]] == ["student"]
    stages = [(entry["stage"], entry["objective"], entry["unfrozen"]) for entry in report["stages"]]
    both = ["head", "student"]
    assert stages == [(1, "logits", ["head"]), (2, "logits", both), (3, "labels", ["head"]), (4, "labels", both)]
    saved = json.loads((tmp_path / "m/xtremedistil-config.json").read_text())
    assert saved["teacher_hidden_size"] == saved["hidden_size"] == 16
    assert not (tmp_path / "m/model-ft.h5").exists()
    write_rows(tmp_path / "lines.txt", [("john ran in london",)])
    flags = ("--model_dir", tmp_path / "m", "--do_predict", "--pred_file", tmp_path / "lines.txt", "--do_eval")
    assert run_command("predict", *flags).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["texts", pytest.param("tags", marks=pytest.mark.slow)])
def test_order_of_labels_and_rows_in_the_file_changes_no_byte(kind, request, eagerly, run_command, tmp_path):
    material = request.getfixturevalue(kind)
    plain = write_targets(tmp_path / "plain.npz", material)
    columns = [1, 2, 0] if kind == "tags" else [1, 0]
    other = np.load(write_targets(tmp_path / "other.npz", material, columns))
    counts = other["word_counts"] if kind == "tags" else np.ones(30, int)
    order, parts = np.arange(30)[::-1], np.split(other["logits"], np.cumsum(counts)[:-1])
    rows = {"row_ids": order, "logits": np.concatenate([parts[row] for row in order])}
    rows |= {"word_counts": counts[order]} if kind == "tags" else {}
    np.savez(tmp_path / "turned.npz", **(dict(other) | rows))
    for name in ("plain", "turned"):
        flags = material.flags(
            tmp_path / name, teacher_logits=tmp_path / f"{name}.npz", baseline=name == "plain" or None
        )
        assert run_command("distil", *flags).code == 0
    assert plain.read_bytes() != (tmp_path / "turned.npz").read_bytes()
    first, second = (student_weights(tmp_path / name) for name in ("plain", "turned"))
    assert first.pop("baseline.h5")
    assert second and first == second


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["original", pytest.param("joint", marks=pytest.mark.slow)])
def test_student_learns_what_the_file_says(texts, eagerly, run_command, tmp_path, recipe):
    """The file says "animal" of everything, with logits 3 and -1; the labels, at a rate of 1e-9, say nothing."""
    logits = np.tile(np.array([3.0, -1.0], np.float32), (30, 1))
    targets = write_targets(tmp_path / "targets.npz", texts, logits=logits)
    changes = {"distil_epochs": 10, "learning_rate": 0.03, "label_learning_rate": 1e-9, "patience": 10}
    flags = texts.flags(tmp_path / "m", teacher_logits=targets, recipe=recipe, **changes)
    assert run_command("distil", *flags).code == 0
    write_rows(tmp_path / "lines.txt", [("john ran in london",), ("the dog sat",)])
    flags = ("--model_dir", tmp_path / "m", "--do_predict", "--pred_file", tmp_path / "lines.txt")
    assert run_command("predict", *flags, "--output_format", "json").code == 0
    for line in (tmp_path / "m/predictions.jsonl").read_text().splitlines():
        assert json.loads(line)["probabilities"]["animal"] == pytest.approx(1 / (1 + np.exp(-4)), abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["texts", "tags"])
def test_run_from_a_file_that_was_stopped_ends_with_the_same_bytes(
    kind, request, eagerly, run_command, tmp_path, interrupt_at
):
    material = request.getfixturevalue(kind)
    targets = write_targets(tmp_path / "targets.npz", material)
    changes = {"teacher_logits": targets, "distil_chunk_size": 15, "gradient_accumulation_steps": 2}
    assert run_command("distil", *material.flags(tmp_path / "whole", **changes)).code == 0

    with interrupt_at("model-stage-2-indx-15.h5"):
        assert run_command("distil", *material.flags(tmp_path / "m", **changes)).code == 130
    assert not (tmp_path / "m/xtremedistil.h5").exists()
    assert run_command("distil", *material.flags(tmp_path / "m", **changes)).code == 0
    assert student_weights(tmp_path / "m") == student_weights(tmp_path / "whole")
    outcome = run_command("distil", *material.flags(tmp_path / "m", **changes))
    assert "finished before" in outcome.err


def test_run_belongs_to_its_file_and_a_faulty_one_removes_nothing(texts, eagerly, run_command, tmp_path):
    targets = write_targets(tmp_path / "targets.npz", texts)
    flags = texts.flags(tmp_path / "m", teacher_logits=targets)
    assert run_command("distil", *flags).code == 0
    before = student_weights(tmp_path / "m")
    bad = write_targets(tmp_path / "bad.npz", texts, row_ids=np.arange(1, 31))
    outcome = run_command("distil", *texts.flags(tmp_path / "m", teacher_logits=bad, overwrite=True))
    assert outcome.code == 2
    assert "missing: 0\n" in outcome.err and "unknown: 30\n" in outcome.err
    assert student_weights(tmp_path / "m") == before

    shutil.copy(targets, tmp_path / "moved.npz")
    moved = texts.flags(tmp_path / "m", teacher_logits=tmp_path / "moved.npz")
    assert "finished before" in run_command("distil", *moved).err
    write_targets(targets, texts, columns=[1, 0])
    outcome = run_command("distil", *flags)
    assert outcome.code == 2
    assert "teacher_logits: the file has changed" in outcome.err


def test_dry_run_checks_the_file_and_leaves_nothing(texts, run_command, tmp_path):
    targets = write_targets(tmp_path / "targets.npz", texts)
    outcome = run_command("distil", *texts.flags(tmp_path / "m", teacher_logits=targets, dry_run=True))
    assert outcome.code == 0, outcome.err
    assert "teacher logits of 30 examples in" in outcome.out
    assert "representation" not in outcome.out and "matched" not in outcome.out
    bad = write_targets(tmp_path / "bad.npz", texts, labels=np.array(["animal", "city"]))
    outcome = run_command("distil", *texts.flags(tmp_path / "m", teacher_logits=bad, dry_run=True))
    assert outcome.code == 2
    assert "missing: town" in outcome.err and "not among the task's: city" in outcome.err
    assert not (tmp_path / "m").exists()


def test_dry_run_reads_parquet(tags, run_command, tmp_path):
    pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
    arrays = dict(np.load(write_targets(tmp_path / "targets.npz", tags)))
    write_parquet(tmp_path / "targets.parquet", **arrays)
    outcome = run_command(
        "distil", *tags.flags(tmp_path / "m", teacher_logits=tmp_path / "targets.parquet", dry_run=True)
    )
    assert outcome.code == 0, outcome.err
    assert "teacher logits of 30 examples in" in outcome.out


@pytest.mark.slow
def test_word_embeddings_come_from_the_checkpoint_of_the_tokenizer(tagging, tags, eagerly, run_command, tmp_path):
    targets = write_targets(tmp_path / "targets.npz", tags)
    changes = {"hidden_size": 8, "freeze_word_embedding": True, "pt_teacher_checkpoint": tagging.teacher}
    flags = tags.flags(tmp_path / "m", teacher_logits=targets, **changes)
    assert run_command("distil", *flags).code == 0
    from xtremedistil.models.checkpoints.weight_files import read_state
    from xtremedistil.models.features.word_embeddings import factorize

    (table,) = (
        array for name, array in read_state(tagging.teacher + "/model.safetensors").items() if "word_emb" in name
    )
    full, kernel = factorize(np.asarray(table), 8, "pca", 5)
    product, found = full @ kernel, np.load(tmp_path / "m/word_embedding.npy")
    np.testing.assert_allclose(found, product * found.std() / product.std(), atol=1e-5)


def test_words_alone_are_learnt_from_a_tagging_teacher(tags, word_piece_folder, tmp_path):
    """Of "un ##believ ##able john" the first and the fourth token count, and get the logits of the two words."""
    from xtremedistil.distillation.teacher_outputs.external_logits import ExternalLogits
    from xtremedistil.distillation.teacher_outputs.logit_source import LogitFileOutputs
    from xtremedistil.objectives.from_terms import terms_objective
    from xtremedistil.objectives.position_masks import WordMask
    from xtremedistil.tasks import TokenClassification
    from xtremedistil.terms.counted import WORDS, Counted
    from xtremedistil.terms.soft_labels import SoftLabels
    from xtremedistil.terms.terms import Terms
    from xtremedistil.tokenization.tokenizer import Tokenizer
    from xtremedistil.training.batching import TrainingBatches

    task, tokenizer = TokenClassification(TAGS), Tokenizer.load(word_piece_folder)
    rows = task.encode([task.example("mary"), task.example("unbelievable john")], tokenizer, 12).take([1])
    values = np.array([[9, 9, 9], [1, 2, 3], [4, 5, 6]], np.float32)
    targets = LogitFileOutputs(rows, ExternalLogits("file", values, np.array([0, 1, 3])))
    batch = TrainingBatches(rows, 1, 0, 0, [targets], masks=[WordMask(rows)]).arrays(np.array([0]))
    expected = np.zeros((1, 6, 3), np.float32)
    expected[0, 1], expected[0, 4] = [1, 2, 3], [4, 5, 6]
    np.testing.assert_array_equal(batch["teacher_logits"], expected)
    objective = terms_objective(Terms(SoftLabels()), (), task_logits(True), counted=Counted(logits=WORDS))
    assert objective.counts(batch)["logits"] == 2
    # The student says 1 everywhere: ((0 + 1 + 4) / 3 + (9 + 16 + 25) / 3) / 2
    value = objective.values({"logits": tf.ones([1, 6, 3])}, batch)["logits"]
    assert float(value) == pytest.approx(55 / 6)


# An ONNX graph


@pytest.fixture
def write_graph(tmp_path):
    """A graph whose logits of a token stand in a table; a text's are the sum over its real tokens."""
    onnx = pytest.importorskip("onnx", reason="the onnx extra is not installed")
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    from onnx import TensorProto, helper, numpy_helper

    def write(name: str, table: np.ndarray, tagging: bool, labels=None, ids=TensorProto.INT64, output="logits") -> Path:
        table = table.astype(np.float32)
        constants = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([2]), "last")]
        constants.append(numpy_helper.from_array(np.array([1]), "pieces"))
        nodes = [helper.make_node("Gather", ["table", "input_ids"], ["gathered"])]
        nodes.append(helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]))
        nodes.append(helper.make_node("Mul", ["gathered", "wide"], [output if tagging else "real"]))
        if not tagging:
            nodes.append(helper.make_node("ReduceSum", ["real", "pieces"], [output], keepdims=0))
        borders = [helper.make_tensor_value_info(n, ids, ["b", "s"]) for n in ("input_ids", "attention_mask")]
        shape = ["b", "s", table.shape[1]] if tagging else ["b", table.shape[1]]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
        model = helper.make_model(helper.make_graph(nodes, "g", borders, outputs, constants), ir_version=9)
        model.opset_import[0].version = 17
        if labels:
            helper.set_model_props(model, {"labels": json.dumps(labels), "maker": "someone"})
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    return write


def answers(material: Material, labels) -> np.ndarray:
    """A table of tokens that knows the answers."""
    pieces = (Path(material.teacher) / "vocab.txt").read_text().split()
    table = np.zeros((len(pieces), len(labels)))
    for number, piece in enumerate(pieces):
        if "animal" in labels:
            table[number, labels.index("animal")] = 5.0 if piece in ("cat", "dog") else -0.01
        else:
            table[number, labels.index(tag_of(piece))] = 3.0
    return table


@pytest.mark.parametrize("kind", ["texts", *slow("tags")])
def test_distil_from_a_graph_scores_it_and_learns_from_it(kind, request, eagerly, run_command, write_graph, tmp_path):
    material, tagging = request.getfixturevalue(kind), kind == "tags"
    labels = TAGS if tagging else CLASSES
    graph = write_graph("teacher.onnx", answers(material, labels), tagging, output="scores")
    outcome = run_command("distil", *material.flags(tmp_path / "m", teacher_onnx=graph))
    assert outcome.code == 0, outcome.err
    assert f"does not name its labels: they are assumed to be in the task's order, {', '.join(labels)}" in outcome.err
    report = json.loads((tmp_path / "m/report.json").read_text())
    teacher, student = report["rows"]
    assert (teacher["name"], student["name"]) == ("teacher", "student")
    assert min(teacher["dev"], teacher["test"]) >= 0.9
    assert teacher["parameters"] == answers(material, labels).size
    assert [entry["objective"] for entry in report["stages"]] == ["logits", "logits", "labels", "labels"]


@pytest.mark.parametrize("kind", ["tags", *slow("texts")])
def test_graph_and_gold_labels_teach_together(kind, request, eagerly, run_command, write_graph, tmp_path):
    """The gold labels of the labelled rows, and what the graph says of all: at words alone, for tags."""
    material, tagging = request.getfixturevalue(kind), kind == "tags"
    graph = write_graph("teacher.onnx", answers(material, TAGS if tagging else CLASSES), tagging)
    joint = {"teacher_onnx": graph, "recipe": "joint", "soft_label_loss": "soft_label_kl"}
    flags = material.flags(tmp_path / "m", **joint, hard_label_weight=0.5, probability_shift=True)
    outcome = run_command("distil", *flags)
    assert outcome.code == 0, outcome.err
    (record,) = (tmp_path / "m").glob("model-stage-1-indx-*-history.json")
    (epoch,) = json.loads(record.read_text())["history"]
    assert 0 < epoch["labels"] < 3
    assert epoch["loss"] == pytest.approx(epoch["logits"] + 0.5 * epoch["labels"], rel=1e-4)


@pytest.mark.slow
def test_labels_that_a_graph_names_are_matched(tags, eagerly, run_command, write_graph, tmp_path):
    from onnx import TensorProto

    turned = ["B-LOC", "O", "B-PER"]
    plain = write_graph("plain.onnx", answers(tags, TAGS), True)
    named = write_graph("named.onnx", answers(tags, turned), True, labels=turned, ids=TensorProto.INT32)
    for graph, targets in ((plain, "cache"), (named, "live")):
        flags = tags.flags(tmp_path / graph.stem, teacher_onnx=graph, teacher_outputs=targets)
        outcome = run_command("distil", *flags)
        assert outcome.code == 0, outcome.err
    assert "whose labels are the task's" in outcome.err
    first, second = (student_weights(tmp_path / name) for name in ("plain", "named"))
    assert first and first == second


@pytest.mark.slow
def test_graph_and_file_of_the_same_logits_give_the_same_student(tags, eagerly, run_command, write_graph, tmp_path):
    """For tagging both count at the first tokens of words; the file holds what the graph says there."""
    words = {"unbelievable": "un", "running": "run"}
    pieces = (Path(tags.teacher) / "vocab.txt").read_text().split()
    table = answers(tags, TAGS)
    first = [words.get(word, word) for line in lines_of(tags) for word in line]
    logits = np.array([table[pieces.index(piece)] if piece in pieces else [0] * 3 for piece in first], np.float32)
    targets = write_targets(tmp_path / "targets.npz", tags, logits=logits)
    graph = write_graph("teacher.onnx", table, True)
    for name, teacher in (("file", {"teacher_logits": targets}), ("graph", {"teacher_onnx": graph})):
        assert run_command("distil", *tags.flags(tmp_path / name, **teacher)).code == 0
    assert student_weights(tmp_path / "file") == student_weights(tmp_path / "graph")


@pytest.mark.slow
def test_run_from_a_graph_belongs_to_it_and_asks_it_once(tags, eagerly, run_command, write_graph, tmp_path):
    graph = write_graph("teacher.onnx", answers(tags, TAGS), True)
    flags = tags.flags(tmp_path / "m", teacher_onnx=graph)
    outcome = run_command("distil", *flags)
    assert "teacher's outputs (chunk-0)" in outcome.err
    os.remove(tmp_path / "m/xtremedistil-config.json")
    outcome = run_command("distil", *flags)
    assert outcome.code == 0 and "teacher's outputs (chunk-0)" not in outcome.err
    write_graph("teacher.onnx", answers(tags, TAGS) + 1, True)
    outcome = run_command("distil", *flags)
    assert outcome.code == 2 and "teacher_onnx: the file has changed" in outcome.err


def test_dry_run_tries_the_graph(tags, run_command, write_graph, tmp_path):
    graph = write_graph("teacher.onnx", answers(tags, TAGS), True)
    outcome = run_command("distil", *tags.flags(tmp_path / "m", teacher_onnx=graph, dry_run=True))
    assert outcome.code == 0, outcome.err
    assert f"teacher {graph}, which does not name its labels" in outcome.out
    graph = write_graph("narrow.onnx", answers(tags, TAGS)[:9], True)
    outcome = run_command("distil", *tags.flags(tmp_path / "m", teacher_onnx=graph, dry_run=True))
    assert outcome.code == 2
    assert "cannot compute 2 rows of" in outcome.err and "the vocabulary of --pt_teacher_checkpoint" in outcome.err


def test_graph_of_another_task_is_refused(tags, run_command, write_graph, tmp_path):
    for arguments, words in [
        ((answers(tags, TAGS)[:, :2], True), "[2, 7, 3] is expected (rows, tokens, labels)"),
        ((answers(tags, TAGS), False), "[2, 7, 3] is expected (rows, tokens, labels)"),
        ((answers(tags, TAGS), True, ["O", "B-PER", "B-ORG"]), "not among the task's: B-ORG"),
    ]:
        graph = write_graph("teacher.onnx", *arguments)
        outcome = run_command("distil", *tags.flags(tmp_path / "m", teacher_onnx=graph, dry_run=True))
        assert outcome.code == 2
        assert words in outcome.err, outcome.err


def test_file_that_is_no_graph_is_refused(tags, run_command, tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "teacher.onnx").write_bytes(b"nothing")
    outcome = run_command("distil", *tags.flags(tmp_path / "m", teacher_onnx=tmp_path / "teacher.onnx"))
    assert outcome.code == 2
    assert "teacher.onnx" in outcome.err and "ONNX" in outcome.err


def test_graph_with_other_inputs_is_refused(tags, run_command, write_graph, tmp_path):
    import onnx

    graph = write_graph("teacher.onnx", answers(tags, TAGS), True)
    model = onnx.load(graph)
    model.graph.input.append(onnx.helper.make_tensor_value_info("position_ids", onnx.TensorProto.INT64, ["b", "s"]))
    onnx.save(model, graph)
    outcome = run_command("distil", *tags.flags(tmp_path / "m", teacher_onnx=graph, dry_run=True))
    assert outcome.code == 2
    assert "position_ids tensor(int64). A teacher takes input_ids, attention_mask" in outcome.err


def test_fingerprint_of_a_graph_covers_the_weights_beside_it(write_graph, tmp_path):
    import onnx

    from xtremedistil.distillation.teacher_outputs.onnx_teacher import read_graph
    from xtremedistil.errors import InputError

    graph = write_graph("teacher.onnx", np.ones((40, 3)), True)
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 100}
    onnx.save(onnx.load(graph), graph, **options)
    before = read_graph(str(graph)).fingerprint
    data = bytearray((tmp_path / "weights.bin").read_bytes())
    data[3] ^= 1
    (tmp_path / "weights.bin").write_bytes(data)
    assert read_graph(str(graph)).fingerprint != before
    os.remove(tmp_path / "weights.bin")
    with pytest.raises(InputError, match=r"has weights in .*weights\.bin, which is missing"):
        read_graph(str(graph))
