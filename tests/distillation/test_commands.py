"""The commands on tiny tasks, from flags to files."""

import json
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import xtremedistil
from tests.command_fixtures import (
    PIECES,
    TEACHER_POSITIONS,
    Material,
    contents,
    main,
    main_flags,
    sentences,
    write_bert,
    write_random_checkpoint,
    write_rows,
    write_text_task,
)
from xtremedistil.evaluation.scorer import Scorer
from xtremedistil.models.checkpoints.h5_weights import read_weights

tf = pytest.importorskip("tensorflow")

TOKENIZER_FILES = {"vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"}
RESULTS = {"xtremedistil.h5", "xtremedistil-config.json", "word_embedding.npy", "report.json", "run-settings.json"}
RESULTS |= {"checksums.json"}
TEACHER_FILES = {"model-ft.h5", "model-ft.json", "checksums.json"}
BASELINE_FILES = {"baseline.h5", "baseline-history.json"}
STAGES = [f"model-stage-{number}-indx-0" for number in (1, 2, 3, 4)] + [f"model-stage-{n}" for n in (5, 6, 7)]
STAGE_FILES = {stage + ending for stage in STAGES for ending in (".h5", "-history.json")}


@pytest.fixture
def copy(distilled, tmp_path) -> Path:
    """A copy of the finished student's folder, to be written into."""
    return Path(shutil.copytree(distilled / "student", tmp_path / "copy"))


# Distillation


def test_distil_writes_exactly_these_files(distilled):
    student = set(contents(distilled / "student"))
    assert student == RESULTS | STAGE_FILES | TOKENIZER_FILES | BASELINE_FILES
    teacher = {name for name in contents(distilled / "teacher") if not name.startswith("teacher-targets/")}
    assert teacher == TEACHER_FILES


def test_distil_leaves_frozen_embeddings_as_reduced_and_out_of_the_weight_file(distilled):
    table = np.load(distilled / "student/word_embedding.npy")
    assert table.shape == (PIECES, 8)
    names = read_weights(str(distilled / "student/xtremedistil.h5"))["student_2"]
    assert names and not any("word_embeddings" in name for name in names)


def test_distil_reports_three_models_and_seven_stages(distilled):
    report = json.loads((distilled / "student/report.json").read_text())
    assert [row["name"] for row in report["rows"]] == ["teacher", "student, labels only", "student"]
    assert [entry["stage"] for entry in report["stages"] if entry["stage"]] == [1, 2, 3, 4, 5, 6, 7]
    assert report["best_stage"] in range(2, 8)


def test_distil_of_finished_run_trains_nothing_and_prints_the_report_again(distilled, tagging, run_command):
    before = contents(distilled)
    stamps = {name: (distilled / name).stat().st_mtime_ns for name in before}
    outcome = run_command("distil", *main_flags(tagging, distilled))
    assert outcome.code == 0
    assert contents(distilled) == before
    assert {name: (distilled / name).stat().st_mtime_ns for name in before} == stamps
    assert "student, labels only" in outcome.out
    assert "finished" in outcome.out + outcome.err


@pytest.mark.parametrize("chief_sees_it, here", [(True, True), (True, False), (False, True), (False, False)])
def test_chief_says_whether_the_run_has_finished(distilled, tmp_path, monkeypatch, chief_sees_it, here):
    from xtremedistil.distillation.pipeline import distil as pipeline

    monkeypatch.setattr(pipeline.run_folder, "check_run", lambda *how: None)
    plan = SimpleNamespace(model_dir=str(distilled / "student" if here else tmp_path), baseline=True, overwrite=False)
    workers = SimpleNamespace(broadcast_from_chief=lambda value: float(chief_sees_it))
    report = pipeline._finished_report(plan, {}, workers)
    assert (report is not None) == chief_sees_it
    assert bool(report and report.rows) == (chief_sees_it and here)


def test_distil_stopped_between_stages_and_started_again_gives_the_same_bytes(
    distilled, tagging, eagerly, run_command, tmp_path, interrupt_at
):
    with interrupt_at("model-stage-4-indx-0.h5"):
        outcome = run_command("distil", *main_flags(tagging, tmp_path))
    assert outcome.code == 130
    assert "the same command goes on from where it was last saved" in outcome.err
    expected, found = contents(distilled / "student"), contents(tmp_path / "student")
    weights = [name for name in found if name.startswith("model-stage") and name.endswith(".h5")]
    assert weights == [f"model-stage-{number}-indx-0.h5" for number in (1, 2, 3)]
    assert [name for name in weights if found[name] != expected[name]] == []
    assert "xtremedistil.h5" not in found

    assert run_command("distil", *main_flags(tagging, tmp_path)).code == 0
    found = contents(tmp_path / "student")
    assert set(found) == set(expected)
    weights = [name for name in found if name.endswith((".h5", ".npy"))]
    assert [name for name in weights if found[name] != expected[name]] == []


OTHER_STEPS = {"gradient_accumulation_steps": 2, "weight_decay": 0.1, "class_weight": "balanced"}


@pytest.mark.parametrize("changes", [{}, pytest.param(OTHER_STEPS, marks=pytest.mark.slow)])
def test_distil_in_chunks_names_files_by_first_row_and_resumes_between_chunks(
    pair_material, eagerly, run_command, tmp_path, changes
):
    flags = pair_material.flags(tmp_path / "m", distil_chunk_size=15, **changes)
    assert run_command("distil", *flags).code == 0
    first = contents(tmp_path / "m")
    chunks = {f"model-stage-{stage}-indx-{start}.h5" for stage in (1, 2, 3) for start in (0, 15)}
    assert {name for name in first if "-indx-" in name and name.endswith(".h5")} == chunks

    later = ["model-stage-3-indx-15", "model-stage-4", "model-stage-5"]
    for name in [file for file in first if file.startswith((*later, "xtremedistil", "report", "word_embedding"))]:
        os.remove(tmp_path / "m" / name)
    assert run_command("distil", *flags).code == 0
    second = contents(tmp_path / "m")
    assert set(second) == set(first)
    assert [name for name in first if name.endswith(".h5") and first[name] != second[name]] == []


def test_dry_run_counts_updates_and_shows_the_weights_of_labels(tagging, run_command, tmp_path):
    """27 transfer rows (3 are held out) and 24 with labels: 2 and 2 updates of 16 rows."""
    changes = {"gradient_accumulation_steps": 2, "class_weight": "O=0.5", "dry_run": True, "distil_epochs": 3}
    outcome = run_command("distil", *tagging.flags(tmp_path / "m", **changes))
    assert outcome.code == 0
    rows = [line.split() for line in outcome.out.splitlines()]
    steps = {row[1]: row[-4:] for row in rows if row and row[0].isdigit()}
    assert steps["representation"] == ["8", "x", "2", "6"]
    assert steps["labels"] == ["8", "x", "2", "2"]
    assert "weights of labels: O 0.5, B-PER 1, B-LOC 1" in outcome.out
    assert "besides: encoded rows 0.0 MB, student's hidden states 0.0 MB at a time" in outcome.out


def test_settings_that_shape_the_loss_belong_to_the_run(distilled, tagging, run_command, tmp_path):
    shutil.copytree(distilled, tmp_path, dirs_exist_ok=True)
    flags = ["--weight_decay", 0.1, "--gradient_accumulation_steps", 2, "--class_weight", "balanced"]
    outcome = run_command("distil", *main_flags(tagging, tmp_path), *flags)
    assert outcome.code == 2
    assert "weight_decay: 0.0 there, 0.1 now" in outcome.err
    assert "gradient_accumulation_steps: 1 there, 2 now" in outcome.err
    assert "class_weight: none there, balanced now" in outcome.err


@pytest.mark.slow
def test_distil_with_overwrite_starts_again_with_other_settings(copy, tagging, eagerly, run_command, distilled):
    flags = tagging.flags(copy, teacher_model_dir=distilled / "teacher", num_hidden_layers=1, overwrite=True)
    assert run_command("distil", *flags).code == 0
    found = contents(copy)
    assert not [name for name in found if name.startswith(("model-stage-6", "model-stage-7", "baseline"))]
    assert json.loads(found["xtremedistil-config.json"])["hidden_size"] == 16


def test_distil_under_legacy_has_pseudo_labels_wide_feed_forward_and_tags_by_piece(
    tagging, eagerly, run_command, tmp_path
):
    flags = tagging.flags(tmp_path / "m", legacy=True, learning_rate=None, teacher_learning_rate=None)
    outcome = run_command("distil", *flags)
    assert outcome.code == 0
    saved = json.loads((tmp_path / "m/xtremedistil-config.json").read_text())
    assert saved["label_list"] == ["O", "B-PER", "B-LOC", "[PAD]", "X", "[SEP]", "[CLS]"]
    assert saved["student_config"]["intermediate_size"] == 3072
    assert "the TEST file chooses" in outcome.err

    write_rows(tmp_path / "lines.txt", [("unbelievable john ran",)])
    flags = ("--model_dir", tmp_path / "m", "--pred_file", tmp_path / "lines.txt", "--do_predict", "--legacy")
    assert run_command("predict", *flags).code == 0
    words, tags = (tmp_path / "m/predictions.txt").read_text().rstrip("\n").split("\t")
    assert words == "un ##believ ##able john ran"
    assert len(tags.split(" ")) == 5


@pytest.mark.slow
def test_distil_with_checkpoint_of_the_teachers_vocabulary_as_student(
    tagging, word_piece_folder, distilled, eagerly, run_command, tmp_path
):
    student = write_bert(tmp_path / "student", word_piece_folder, layers=2, width=8)
    flags = tagging.flags(tmp_path / "m", teacher_model_dir=distilled / "teacher", pt_student_checkpoint=student)
    assert run_command("distil", *flags).code == 0
    saved = json.loads((tmp_path / "m/xtremedistil-config.json").read_text())
    assert (saved["hidden_size"], saved["num_hidden_layers"]) == (8, 2)


# Prediction

LINES = [
    "john ran in london .",
    "",
    "თბილისი არის ქალაქი",
    " ".join(["the big cat sat on the mat"] * 4),  # longer than seq_len
    "un" + "believable" * 20,  # one word of more tokens than fit into a row
    "john \u200b \ufeff mary",  # words without width
    "john  ran",  # white space separates words, however much of it
    " mary ",
    "john ran in london .",
]
SPACED = [" ".join(line.split()) for line in LINES]


@pytest.fixture(scope="session")
def predicted(distilled, tmp_path_factory) -> Path:
    """A student's folder with predictions for `LINES`, as text and as JSON, and with metrics."""
    folder = tmp_path_factory.mktemp("predicted")
    shutil.copytree(distilled / "student", folder / "student")
    (folder / "lines.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    flags = ("--model_dir", folder / "student", "--pred_file", folder / "lines.txt", "--do_predict")
    assert main("predict", *flags, "--do_eval", "--batch_size", 3) == 0
    assert main("predict", *flags, "--output_format", "json") == 0
    return folder / "student"


def test_predict_writes_one_line_per_line_in_order_with_one_tag_per_word(predicted):
    written = (predicted / "predictions.txt").read_text(encoding="utf-8")
    assert written.endswith("\n")
    rows = [line.split("\t") for line in written[:-1].split("\n")]
    assert [words for words, _ in rows] == SPACED
    assert [len(tags.split(" ")) if tags else 0 for _, tags in rows] == [
        len(line.split(" ")) if line else 0 for line in SPACED
    ]
    assert {tag for _, tags in rows for tag in tags.split(" ") if tag} <= {"O", "B-PER", "B-LOC"}


def test_predict_gives_equal_lines_equal_tags_wherever_they_stand(predicted):
    lines = (predicted / "predictions.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == lines[-1]


def test_predict_as_json_gives_probabilities_that_agree_with_the_text_format(predicted):
    entries = [json.loads(line) for line in (predicted / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    text = (predicted / "predictions.txt").read_text(encoding="utf-8").split("\n")
    assert [entry["text"] for entry in entries] == SPACED
    assert [f"{entry['text']}\t{' '.join(entry['labels'])}" for entry in entries] == text[:-1]
    for entry in entries:
        table = np.array([list(row.values()) for row in entry["probabilities"]]).reshape(-1, 3)
        assert len(table) == len(entry["labels"])
        np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)
        assert [["O", "B-PER", "B-LOC"][row.argmax()] for row in table] == entry["labels"]


def test_do_eval_writes_the_test_scores_of_the_report(predicted):
    metrics = json.loads((predicted / "metrics.json").read_text())
    report = json.loads((predicted / "report.json").read_text())
    assert metrics["primary"] == "f1"
    assert metrics == report["metrics"]["student"]


def test_predict_writes_into_the_folder_it_is_given_and_not_into_the_students(distilled, run_command, tmp_path):
    before = contents(distilled)
    write_rows(tmp_path / "lines.txt", [("john ran",)])
    out = tmp_path / "results/today"
    flags = ("--model_dir", distilled / "student", "--pred_file", tmp_path / "lines.txt", "--output_dir", out)
    outcome = run_command("predict", *flags, "--do_predict", "--do_eval", "--output_format", "json")
    assert outcome.code == 0
    assert f"predictions are in {out}/predictions.jsonl" in outcome.out
    assert set(contents(out)) == {"predictions.jsonl", "metrics.json"}
    assert contents(distilled) == before


def test_predictor_takes_texts_and_word_lists(distilled):
    predictor = xtremedistil.load_predictor(str(distilled / "student"))
    assert predictor([]) == []
    tags = predictor(["john ran in london .", ["john", "ran", "in", "london", "."], ""])
    assert tags[0] == tags[1]
    assert [len(sentence) for sentence in tags] == [5, 5, 0]
    assert predictor.probabilities(["mary"])[0].shape == (1, 3)
    with pytest.raises(xtremedistil.InputError, match="A list of texts is expected"):
        predictor("mary ran")


@pytest.mark.parametrize("text", ["john \ud800 ran", ["john", "\ud800", "ran"]])
def test_predictor_names_the_text_with_half_a_character(distilled, text):
    predictor = xtremedistil.load_predictor(str(distilled / "student"))
    with pytest.raises(xtremedistil.InputError) as refused:
        predictor(["mary \U0001f600", text])
    assert r"texts[1] holds '\ud800', half of a surrogate pair, at position 5: 'john \ud800 ran'" in str(refused.value)


def test_predictor_gives_the_same_alone_and_in_a_batch(distilled):
    predictor = xtremedistil.load_predictor(str(distilled / "student"), batch_size=4)
    texts = [line for line in LINES if line]
    together = predictor.probabilities(texts)
    for text, expected in zip(texts, together, strict=True):
        np.testing.assert_allclose(predictor.probabilities([text])[0], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["baseline.h5", "model-stage-1-indx-0.h5", "model-stage-7.h5"])
def test_checkpoint_of_a_run_with_frozen_embeddings_predicts(distilled, weights):
    predictor = xtremedistil.load_predictor(str(distilled / "student"), weights=weights)
    assert predictor.probabilities(["john ran"])[0].shape == (2, 3)


@pytest.mark.slow
def test_checkpoints_of_a_run_with_compressed_embeddings_predict_as_they_were_scored(
    distilled, tagging, eagerly, run_command, tmp_path
):
    """They hold the matrix behind the embeddings, projections of matched states and, with chunks, the optimizer."""
    changes = {"hidden_size": 8, "compress_word_embedding": True, "distil_chunk_size": 15, "baseline": True}
    flags = tagging.flags(tmp_path / "m", teacher_model_dir=distilled / "teacher", num_hidden_layers=2, **changes)
    assert run_command("distil", *flags, "--distil_multi_hidden_states").code == 0
    layers = set(read_weights(str(tmp_path / "m/model-stage-1-indx-15.h5")))
    assert layers >= {"student_2", "word_map", "hidden_states_hidden_mse_3_1_projection", "optimizer_m"}
    baseline = read_weights(str(tmp_path / "m/baseline.h5"))
    assert "word_map" in baseline
    (table,) = (array for name, array in baseline["student_2"].items() if "word_embeddings" in name)
    assert not np.allclose(table, np.load(tmp_path / "m/word_embedding.npy"))

    report = json.loads((tmp_path / "m/report.json").read_text())
    use = ("predict", "--model_dir", tmp_path / "m", "--do_eval", "--weights", "baseline.h5")
    assert run_command(*use).code == 0
    assert json.loads((tmp_path / "m/metrics.json").read_text()) == report["metrics"]["student, labels only"]
    assert xtremedistil.load_student(str(tmp_path / "m"), "model-stage-1-indx-15.h5").count_params() > 0


# Continued and plain fine-tuning


def test_ft_writes_its_own_weights_which_predict_reads(copy, eagerly, run_command, tmp_path):
    before = contents(copy)
    flags = ("--model_dir", copy, "--ft_epochs", 2, "--batch_size", 8, "--learning_rate", 0.05)
    outcome = run_command("ft", *flags)
    assert outcome.code == 0
    assert "student, continued" in outcome.out
    after = contents(copy)
    assert set(after) - set(before) == {"xtremedistil-ft.h5"}
    assert {name for name in before if after[name] != before[name]} == {"checksums.json"}
    old, new = (read_weights(str(copy / name)) for name in ("xtremedistil.h5", "xtremedistil-ft.h5"))
    assert {part: list(weights) for part, weights in old.items()} == {part: list(w) for part, w in new.items()}
    assert not np.array_equal(old["dense"]["dense/kernel:0"], new["dense"]["dense/kernel:0"])

    write_rows(tmp_path / "lines.txt", [("john ran",)])
    flags = ("--model_dir", copy, "--weights", "xtremedistil-ft.h5", "--do_predict", "--output_format", "json")
    assert run_command("predict", *flags, "--pred_file", tmp_path / "lines.txt").code == 0
    entry = json.loads((copy / "predictions.jsonl").read_text())
    expected = xtremedistil.load_predictor(str(copy), weights="xtremedistil-ft.h5").probabilities(["john ran"])[0]
    np.testing.assert_allclose([list(row.values()) for row in entry["probabilities"]], expected, atol=2e-6)
    assert not np.allclose(expected, xtremedistil.load_predictor(str(copy)).probabilities(["john ran"])[0], atol=1e-4)


def test_sigterm_in_the_last_evaluation_ends_continued_training_when_all_is_saved(
    copy, eagerly, run_command, monkeypatch
):
    primary, sent = Scorer.primary, []

    def terminated(scorer, predict, labelled):
        if not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
        return primary(scorer, predict, labelled)

    monkeypatch.setattr(Scorer, "primary", terminated)
    assert run_command("ft", "--model_dir", copy, "--ft_epochs", 1).code == 143
    assert (copy / "xtremedistil-ft.h5").exists() and not (copy / "snapshots").exists()


def continued(copy: Path, run_command, *flags) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that a student gives after two epochs of `ft`, and the bias of its head."""
    steady = ("--ft_epochs", 2, "--learning_rate", 0.01, "--lr_schedule", "constant", "--seed", 3)
    assert run_command("ft", "--model_dir", copy, *steady, *flags).code == 0
    predictor = xtremedistil.load_predictor(str(copy), weights="xtremedistil-ft.h5")
    words = "john ran in london and mary sat on the mat .".split()
    bias = read_weights(str(copy / "xtremedistil-ft.h5"))["dense"]["dense/bias:0"]
    return predictor.probabilities([words])[0], bias


def without_dropout(copy: Path) -> None:
    config = json.loads((copy / "xtremedistil-config.json").read_text())
    config["student_config"] |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (copy / "xtremedistil-config.json").write_text(json.dumps(config))


@pytest.mark.slow
def test_ft_with_four_batches_a_step_equals_one_of_the_big_batch(copy, eagerly, run_command):
    without_dropout(copy)
    weights = ("--class_weight", "balanced", "--weight_decay", 0.1)
    first = xtremedistil.load_predictor(str(copy)).probabilities(["john ran"])[0]
    big, _ = continued(copy, run_command, "--batch_size", 16, *weights)
    parts, _ = continued(copy, run_command, "--batch_size", 4, "--gradient_accumulation_steps", 4, *weights)
    np.testing.assert_allclose(parts, big, atol=1e-4)
    assert not np.allclose(big[:2], first, atol=1e-2)


@pytest.mark.slow
def test_ft_with_a_label_that_weighs_nothing_does_not_learn_it(copy, eagerly, run_command):
    _, plain = continued(copy, run_command, "--batch_size", 8)
    _, weighted = continued(copy, run_command, "--batch_size", 8, "--class_weight", "O=1,B-PER=0,B-LOC=0")
    assert weighted[0] - weighted[1] > plain[0] - plain[1] + 0.01


def test_model_ft_writes_weights_scores_and_tokenizer(tagging, eagerly, run_command, tmp_path):
    flags = ["--task", tagging.task, "--model_dir", tmp_path / "m", "--seq_len", 12, "--do_NER", "--ft_epochs", 1]
    outcome = run_command("model-ft", *flags, "--pt_model_checkpoint", tagging.teacher, "--seed", 2**31 - 1)
    assert outcome.code == 0
    found = contents(tmp_path / "m")
    assert set(found) == {"model-ft.h5", "metrics.json", "checksums.json"} | TOKENIZER_FILES
    assert json.loads(found["metrics.json"])["rows"][0]["name"] == "fine-tuned model"
    assert set(read_weights(str(tmp_path / "m/model-ft.h5"))) == {"tf_model", "final_logits"}


# Classification


@pytest.fixture(scope="session")
def pair_material(tmp_path_factory, tagging) -> Material:
    root = tmp_path_factory.mktemp("pairs")
    write_text_task(root / "task", labels=("0", "1"), pairs=True)
    write_rows(root / "transfer.tsv", [(" ".join(a), " ".join(a[:2])) for a in sentences(33, 6)])
    return Material(root / "task", root / "transfer.tsv", tagging.teacher, ("--do_pairwise",), {"seq_len": 16})


def test_pair_classification_runs_from_training_to_prediction(pair_material, eagerly, run_command, tmp_path):
    assert run_command("distil", *pair_material.flags(tmp_path / "m")).code == 0
    write_rows(tmp_path / "lines.tsv", [("the cat sat", "a dog ran"), ("john", "mary")])
    flags = ("--model_dir", tmp_path / "m", "--do_predict", "--pred_file", tmp_path / "lines.tsv", "--do_eval")
    assert run_command("predict", *flags).code == 0
    rows = [line.split("\t") for line in (tmp_path / "m/predictions.txt").read_text().splitlines()]
    assert [row[:2] for row in rows] == [["the cat sat", "a dog ran"], ["john", "mary"]]
    assert {row[2] for row in rows} <= {"0", "1"}
    assert json.loads((tmp_path / "m/metrics.json").read_text())["primary"] == "accuracy"


@pytest.mark.slow
def test_text_classification_with_string_labels_and_left_to_right_teacher(gpt2_folder, eagerly, run_command, tmp_path):
    vocabulary = len(json.loads((Path(gpt2_folder) / "vocab.json").read_text()))
    config = {"model_type": "gpt2", "vocab_size": vocabulary, "n_embd": 16, "n_layer": 3, "n_head": 2}
    config["n_positions"] = TEACHER_POSITIONS
    teacher = write_random_checkpoint(tmp_path / "gpt2", gpt2_folder, config, "TFGPT2Model")
    write_text_task(tmp_path / "task")
    write_rows(tmp_path / "transfer.txt", [(" ".join(words),) for words in sentences(20, 4)])
    material = Material(tmp_path / "task", tmp_path / "transfer.txt", teacher)
    flags = material.flags(tmp_path / "m", pt_teacher="TFGPT2Model", seq_len=16, distil_attention=True)
    assert run_command("distil", *flags).code == 0
    (tmp_path / "lines.txt").write_text("the cat sat\n\nთბილისი\n" + "very " * 40 + "long\n", encoding="utf-8")
    flags = ("--model_dir", tmp_path / "m", "--do_predict", "--pred_file", tmp_path / "lines.txt")
    assert run_command("predict", *flags, "--output_format", "json").code == 0
    entries = [json.loads(line) for line in (tmp_path / "m/predictions.jsonl").read_text().splitlines()]
    assert [entry["text"] for entry in entries] == ["the cat sat", "", "თბილისი", "very " * 40 + "long"]
    for entry in entries:
        assert set(entry["probabilities"]) == {"animal", "town"}
        assert entry["label"] == max(entry["probabilities"], key=entry["probabilities"].get)


# The student as a Keras model


def inputs_of(distilled: Path, texts: list[str], width: int) -> dict:
    from xtremedistil.data.padding import pad_rows
    from xtremedistil.tokenization.tokenizer import Tokenizer

    predictor = xtremedistil.load_predictor(str(distilled / "student"))
    examples = [predictor.task.example(text) for text in texts]
    features = predictor.task.encode(examples, Tokenizer.load(distilled / "student"), 12)
    return pad_rows(features, np.arange(len(texts)), width, 0)


def test_student_drops_into_a_users_own_keras_model(distilled, eagerly):
    student = xtremedistil.load_student(str(distilled / "student"))
    inputs = {name: tf.keras.Input([None], dtype=tf.int32, name=name) for name in student.input_names}
    pooled = tf.keras.layers.GlobalAveragePooling1D()(student(inputs)["logits"])
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(1)(pooled))
    model.compile("adam", "mse")
    batch = inputs_of(distilled, ["john ran", "the cat sat on the mat"], 12)
    kept = student.get_weights()
    model.fit(batch, np.array([[3.0], [-1.0]]), epochs=1, verbose=0)
    assert model.predict(batch, verbose=0).shape == (2, 1)
    assert any(not np.array_equal(old, new) for old, new in zip(kept, student.get_weights(), strict=True))


def test_student_maps_over_a_data_pipeline(distilled):
    student = xtremedistil.load_student(str(distilled / "student"))
    texts = ["john ran", "the cat sat on the mat", "mary"]
    batch = inputs_of(distilled, texts, 12)
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(2).map(lambda rows: student(rows)["logits"])
    logits = np.concatenate([values.numpy() for values in dataset])
    assert logits.shape == (3, 12, 3)
    np.testing.assert_allclose(logits, student(batch)["logits"], atol=1e-5)


# Folders of the original release


@pytest.fixture
def original(shared_data, tmp_path) -> Path:
    """A copy of what the original wrote."""
    return Path(shutil.copytree(shared_data / "fixtures/original-release", tmp_path / "original"))


@pytest.mark.parametrize(
    "run", ["ner-frozen-embedding-attention", pytest.param("classification-plain", marks=pytest.mark.slow)]
)
def test_original_folder_predicts_and_continues(original, eagerly, run_command, run):
    folder, kind = original / run, "ner" if run.startswith("ner") else "cls"
    source = ("--model_dir", folder, "--pt_teacher_checkpoint", original / "checkpoints/teacher")
    lines = original / "tasks/prediction-input.txt"
    lines = lines if lines.exists() else original / "tasks" / kind / "test.tsv"
    assert run_command("predict", *source, "--do_predict", "--pred_file", lines).code == 0
    written = (folder / "predictions.txt").read_text().splitlines()
    assert len(written) == len(lines.read_text().splitlines())
    task = ("--task", original / "tasks" / kind)
    assert run_command("predict", *source, "--do_eval", *task).code == 0
    assert json.loads((folder / "metrics.json").read_text())["primary"] in ("f1", "accuracy")
    outcome = run_command("ft", *source, *task, "--ft_epochs", 1)
    assert outcome.code == 0, outcome.err
    old, new = (read_weights(str(folder / name)) for name in ("xtremedistil.h5", "xtremedistil-ft.h5"))
    assert list(old) == list(new)


@pytest.mark.slow
def test_original_fine_tuned_teacher_serves_a_new_run(original, eagerly, run_command, tmp_path):
    run = original / "ner-frozen-embedding-attention"
    task = original / "tasks/ner"
    before = (run / "model-ft.h5").read_bytes()
    material = Material(task, task / "dev.tsv", str(original / "checkpoints/teacher"), ("--do_NER",))
    flags = material.flags(tmp_path / "m", teacher_model_dir=run, seq_len=16, hidden_size=24, num_attention_heads=4)
    outcome = run_command("distil", *flags)
    assert outcome.code == 0, outcome.err
    assert (run / "model-ft.h5").read_bytes() == before
    saved = json.loads((tmp_path / "m/xtremedistil-config.json").read_text())
    assert saved["label_list"] == (task / "labels.tsv").read_text().split()


# The teacher's outputs


@pytest.mark.slow
def test_another_student_asks_the_teacher_nothing_that_it_has_said(distilled, tagging, eagerly, run_command, tmp_path):
    flags = tagging.flags(tmp_path / "m", teacher_model_dir=distilled / "teacher", num_hidden_layers=2, seed=6)
    outcome = run_command("distil", *flags)
    assert outcome.code == 0
    assert "teacher: read from" in outcome.err
    assert "teacher's outputs (" not in outcome.err


@pytest.mark.slow
def test_live_targets_need_no_disk_and_end_alike(distilled, tagging, eagerly, run_command, tmp_path):
    scores = {}
    for targets in ("cache", "live"):
        folder = tmp_path / targets
        places = {"teacher_model_dir": distilled / "teacher", "teacher_outputs_dir": folder / "t"}
        assert run_command("distil", *tagging.flags(folder, teacher_outputs=targets, **places)).code == 0
        scores[targets] = [entry["score"] for entry in json.loads((folder / "report.json").read_text())["stages"]]
        kept = {path.parent.name for path in (folder / "t").rglob("targets.json")}
        assert kept == ({"chunk-0", "held-out"} if targets == "cache" else set())
    np.testing.assert_allclose(scores["live"][0], scores["cache"][0], rtol=1e-2)
