"""What cannot be used is refused: exit code 2, one message that says what to do, nothing half-written."""

import errno
import fcntl
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.command_fixtures import (
    PIECES,
    TEACHER_LAYERS,
    TEACHER_POSITIONS,
    TEACHER_WIDTH,
    Material,
    assert_refused,
    contents,
    main_flags,
    write_hollow_bert,
    write_rows,
    write_student,
)
from tests.model_fixtures import tiny_config
from xtremedistil.distillation.planning.config import DistilConfig
from xtremedistil.distillation.planning.validation import check_distil
from xtremedistil.errors import InputError
from xtremedistil.storage import folders, model_folder


@pytest.fixture
def hollow(tagging_files, word_piece_folder, tmp_path) -> Material:
    """A task of its own for the test, and a teacher without weights: no model can be made of it."""
    task = Path(shutil.copytree(tagging_files[0], tmp_path / "task"))
    transfer = Path(shutil.copy(tagging_files[1], tmp_path / "transfer.txt"))
    return Material(task, transfer, write_hollow_bert(tmp_path / "teacher", word_piece_folder), ("--do_NER",))


@pytest.fixture
def assert_refused_early(hollow, run_command, no_tensorflow, tmp_path):
    """Distils with changed flags and expects a refusal before any model is loaded."""

    def distil(changes: dict, *words: str) -> None:
        model_dir = tmp_path / "m"
        assert_refused(run_command("distil", *hollow.flags(model_dir, **changes)), *words)
        assert not model_dir.exists()

    return distil


# Flags


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"seq_len": TEACHER_POSITIONS + 1}, [f"--seq_len {TEACHER_POSITIONS + 1}", f"{TEACHER_POSITIONS} tokens"]),
        ({"num_hidden_layers": TEACHER_LAYERS + 1}, [f"has {TEACHER_LAYERS + 1} layers", f"at most {TEACHER_LAYERS}"]),
        ({"hidden_size": 15}, ["--hidden_size 15 is not a multiple of --num_attention_heads 2"]),
        ({"hidden_size": TEACHER_WIDTH + 2}, [f"wider ({TEACHER_WIDTH + 2})", f"use at most {TEACHER_WIDTH}"]),
        ({"lstm_units": 8}, ["--lstm_units 8 needs --student_kind bilstm"]),
        ({"student_kind": "bilstm", "lstm_units": 0}, ["--lstm_units 0: must be at least 1"]),
        (
            {"student_kind": "bilstm", "distil_attention": True, "pt_student_checkpoint": "some-model"},
            [
                "it has no attention maps; leave --distil_attention away",
                "there are no checkpoints of it",
            ],
        ),
        (
            {"student_kind": "bilstm", "legacy": True, "intermediate_size": 8, "learning_rate": "auto"},
            ["the original's students are transformers; leave --legacy away", "it has no feed-forward layers"],
        ),
        ({"pt_teacher": "TFBretModel"}, ["TFBretModel: unknown model class", "Did you mean TFBertModel?"]),
        ({"pt_teacher": "TFRobertaModel"}, ["model_type 'bert'", "Give TFBertModel or auto"]),
        ({"pt_teacher": "TFTransfoXLModel"}, ["unpickles files", "Choose one of"]),
        ({"do_pairwise": True}, ["--do_NER and --do_pairwise exclude each other"]),
        ({"tpu": "tpu-1"}, ["--tpu tpu-1 needs --strategy tpu"]),
        (
            {"strategy": "tpu", "opt_policy": "mixed_float16", "teacher_opt_policy": "mixed_float16"},
            [
                "--opt_policy mixed_float16: TPUs take bfloat16; give mixed_bfloat16",
                "--teacher_opt_policy",
                "(2 problems)",
            ],
        ),
        ({"unfreeze_order": "head,student"}, ["--unfreeze_order head,student: give dense,student"]),
        ({"class_weight": "balance"}, ["--class_weight balance", "not label=weight. Did you mean balanced?"]),
        ({"class_weight": "O=0.5,B-PER"}, ["'B-PER' is not label=weight", "O=0.5,B-PER=2"]),
        ({"class_weight": "O=-1"}, ["--class_weight: '-1' is no weight of 'O'"]),
    ],
)
def test_contradiction_is_refused_before_a_model_is_loaded(assert_refused_early, changes, words):
    assert_refused_early(changes, *words)


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("distil_epochs", 0, "--distil_epochs 0: must be at least 1"),
        ("ft_epochs", -3, "--ft_epochs -3: must be at least 1"),
        ("num_attention_heads", 0, "--num_attention_heads 0: must be at least 1"),
        ("teacher_batch_size", 0, "--teacher_batch_size 0: must be at least 1"),
        ("distil_chunk_size", 0, "--distil_chunk_size 0: must be at least 1"),
        ("intermediate_size", 0, "--intermediate_size 0: must be at least 1"),
        ("patience", 0, "--patience 0: must be at least 1"),
        ("seq_len", 2, "--seq_len 2: must be at least 3"),
        ("warmup_ratio", 1.5, "--warmup_ratio 1.5: must be from 0 to 1"),
        ("warmup_ratio", "nan", "--warmup_ratio nan: must be"),
        ("dropout", 1.0, "--dropout 1.0: must be at least 0 and below 1"),
        ("max_grad_norm", -1.0, "--max_grad_norm -1.0: must not be negative"),
        ("gradient_accumulation_steps", 0, "--gradient_accumulation_steps 0: must be at least 1"),
        ("weight_decay", -0.1, "--weight_decay -0.1: must not be negative"),
        ("weight_decay", "inf", "--weight_decay inf: must be a finite number"),
        ("max_grad_norm", "nan", "--max_grad_norm nan: must be a finite number"),
        ("hidden_weight", "nan", "--hidden_weight nan: must be a finite number"),
        ("attention_weight", "inf", "--attention_weight inf: must be a finite number"),
        ("learning_rate", "inf", "--learning_rate inf: must be a finite number"),
        ("seed", -1, "--seed -1: must not be negative"),
        ("seed", 2**31, "--seed 2147483648: must be at most 2147483647"),
    ],
)
def test_number_out_of_range_is_refused(assert_refused_early, name, value, words):
    assert_refused_early({name: value}, words)


@pytest.mark.parametrize("value", ["-1", "0", "nan", "fast"])
def test_learning_rate_that_is_no_rate_is_refused_by_the_parser(hollow, run_command, tmp_path, value):
    outcome = run_command("distil", *hollow.flags(tmp_path / "m", learning_rate=value))
    assert outcome.code == 2
    assert f"{value}: give a number above 0, or auto" in outcome.err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "verb, flags",
    [
        ("ft", ["--ft_epochs", "0", "--batch_size", "0", "--max_grad_norm", "nan", "--seed", "-1"]),
        ("model-ft", ["--ft_epochs", "0", "--batch_size", "0", "--max_grad_norm", "nan", "--seed", "-1"]),
    ],
)
def test_other_commands_refuse_numbers_out_of_range_together(hollow, run_command, no_tensorflow, tmp_path, verb, flags):
    if verb == "model-ft":
        flags = [*flags, "--task", hollow.task, "--seq_len", 12, "--do_NER", "--pt_model_checkpoint", hollow.teacher]
    flags += ["--gradient_accumulation_steps", 0, "--weight_decay", -1, "--class_weight", "O=x"]
    outcome = run_command(verb, "--model_dir", tmp_path / "m", *flags)
    words = ["--ft_epochs 0", "--batch_size 0", "--max_grad_norm nan", "--seed -1", "(7 problems)"]
    assert_refused(outcome, *words, "--gradient_accumulation_steps 0", "--weight_decay -1.0", "'x' is no weight of 'O'")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "workers",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
    ],
)
def test_cluster_that_cannot_be_read_is_refused(assert_refused_early, monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    assert_refused_early({"strategy": "multi_worker"}, "needs the environment variable TF_CONFIG, JSON as in")


def test_legacy_refuses_what_the_original_lacks(assert_refused_early):
    changes = {"gradient_accumulation_steps": 2, "weight_decay": 0.01, "class_weight": "balanced"}
    rates = {"learning_rate": None, "teacher_learning_rate": None}
    words = "--legacy trains as the original did, without --gradient_accumulation_steps, --weight_decay, --class_weight"
    assert_refused_early({"legacy": True, **rates, **changes}, words, "(1 problem)")


def test_all_contradictions_are_reported_together(assert_refused_early, tmp_path):
    os.remove(tmp_path / "task/dev.tsv")
    os.remove(tmp_path / "transfer.txt")
    assert_refused_early(
        {"hidden_size": 21, "num_hidden_layers": 9, "seq_len": 99, "distil_epochs": 0, "do_pairwise": True},
        "(8 problems)",
        "--distil_epochs 0",
        "--hidden_size 21 is not a multiple",
        "exclude each other",
        "lacks dev.tsv",
        "--transfer_file",
        "--seq_len 99",
        "the student has 9 layers",
        "wider (21)",
    )


def test_dry_run_refuses_what_a_run_refuses(assert_refused_early):
    assert_refused_early({"dry_run": True, "num_hidden_layers": 9}, "the student has 9 layers")


# A teacher from elsewhere


@pytest.fixture
def outside(tmp_path) -> dict:
    """Files that exist; what is in them is not read before the flags are in order."""
    paths = {"teacher_logits": tmp_path / "targets.npz", "teacher_onnx": tmp_path / "teacher.onnx"}
    for path in paths.values():
        path.write_bytes(b"")
    return paths


@pytest.mark.parametrize("name", ["teacher_logits", "teacher_onnx"])
def test_teacher_without_states_refuses_flags_about_them(assert_refused_early, outside, name):
    flags = {"distil_attention": True, "distil_multi_hidden_states": True, "legacy": True}
    rates = {"learning_rate": None, "teacher_learning_rate": None}
    assert_refused_early(
        {name: outside[name], **flags, **rates},
        f"--{name}: an external teacher gives only logits, no hidden states; "
        "leave --distil_attention, --distil_multi_hidden_states",
        f"--legacy: the original's teacher is a TensorFlow model; leave --{name} away, or --legacy",
        "(2 problems)",
    )


def test_gold_labels_beside_a_file_of_logits_are_refused(assert_refused_early, outside):
    changes = {"teacher_logits": outside["teacher_logits"], "recipe": "joint", "hard_label_weight": 0.5}
    assert_refused_early(changes, "has no logits for the labelled examples", "use a checkpoint", "(1 problem)")


def test_teacher_without_states_has_no_stage_and_no_pairs_on_them(assert_refused_early, outside):
    changes = {"teacher_onnx": outside["teacher_onnx"], "representation_learning_rate": 0.1, "hidden_weight": 2}
    assert_refused_early(changes, "--hidden_weight: an external teacher", "give --learning_rate")


def test_file_and_graph_exclude_each_other(assert_refused_early, outside):
    assert_refused_early(outside, "--teacher_logits and --teacher_onnx exclude each other", "(1 problem)")


def test_missing_teacher_file_is_refused(assert_refused_early, tmp_path):
    for name in ("teacher_logits", "teacher_onnx"):
        assert_refused_early({name: tmp_path / "no.npz"}, f"--{name} {tmp_path / 'no.npz'}: there is no such file")


def test_teacher_targets_of_another_ending_are_refused(assert_refused_early, tmp_path):
    (tmp_path / "targets.csv").write_text("")
    changes = {"teacher_logits": tmp_path / "targets.csv", "teacher_outputs": "live"}
    assert_refused_early(
        changes, "targets.csv: a file whose name ends in .npz or .parquet", "--teacher_outputs live", "(2 problems)"
    )


@pytest.mark.parametrize(
    "name, file, words",
    [
        ("teacher_logits", "targets.parquet", ["needs pyarrow", 'pip install "xtremedistil[parquet]"']),
        ("teacher_onnx", "teacher.onnx", ["needs onnx and onnxruntime", 'pip install xtremedistil']),
    ],
)
def test_teacher_from_elsewhere_says_what_to_install(assert_refused_early, tmp_path, monkeypatch, name, file, words):
    (tmp_path / file).write_bytes(b"")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert_refused_early({name: tmp_path / file}, f"--{name} {tmp_path / file} {words[0]}", *words, "(1 problem)")


def test_student_of_a_teacher_from_elsewhere_may_be_of_any_size(assert_refused_early, outside, hollow):
    """No layer and no width is paired, and the folder of the tokenizer needs no configuration; heads still matter."""
    changes = {"teacher_logits": outside["teacher_logits"], "num_hidden_layers": 9, "hidden_size": 99}
    os.remove(Path(hollow.teacher) / "config.json")
    assert_refused_early(changes, "--hidden_size 99 is not a multiple of --num_attention_heads 2", "(1 problem)")


def test_word_embeddings_of_the_tokenizers_folder_need_its_configuration(assert_refused_early, outside, hollow):
    changes = {"teacher_logits": outside["teacher_logits"], "compress_word_embedding": True}
    assert_refused_early(changes | {"hidden_size": 20}, "the teacher's word embeddings are 16 wide, the student's 20")
    os.remove(Path(hollow.teacher) / "config.json")
    assert_refused_early(changes, f"{hollow.teacher} holds no config.json")


# Augmentation


def test_augmentation_needs_what_belongs_to_it(assert_refused_early, tmp_path):
    assert_refused_early({"augment_copies": 2}, "--augment_copies 2 needs --augment: masking, deleting", "(1 problem)")
    assert_refused_early({"augment": "masking", "augment_copies": 0}, "--augment_copies 0: must be at least 1")
    assert_refused_early({"augment": "masked_lm"}, "--augment masked_lm needs --augment_checkpoint", "(1 problem)")
    changes = {"augment": "deleting", "augment_checkpoint": tmp_path}
    assert_refused_early(changes, f"--augment_checkpoint {tmp_path} is only for --augment masked_lm", "(1 problem)")


def test_augmentation_of_unknown_name_is_refused(hollow, run_command, tmp_path):
    outcome = run_command("distil", *hollow.flags(tmp_path / "m", augment="maskin"))
    assert outcome.code == 2
    assert all(word in outcome.err for word in ("argument --augment", "maskin", "n_gram_sampling", "masked_lm"))
    given = {"task": str(hollow.task), "transfer_file": str(hollow.transfer), "pt_teacher_checkpoint": hollow.teacher}
    folders = {"model_dir": str(tmp_path / "m"), "teacher_model_dir": str(tmp_path / "m")}
    config = DistilConfig(**given, **folders, do_NER=True, seq_len=12, augment=("maskin",))
    with pytest.raises(InputError, match=r"`augment` 'maskin': there are masking, .* did you mean masking\?"):
        check_distil(config)


def test_augmented_lines_have_no_logits_in_a_file(assert_refused_early, outside):
    changes = {"augment": "masking", "teacher_logits": outside["teacher_logits"]}
    assert_refused_early(changes, "--augment: --teacher_logits", "not for augmented ones", "(1 problem)")


def test_augmentation_is_not_the_originals(assert_refused_early):
    rates = {"learning_rate": None, "teacher_learning_rate": None}
    assert_refused_early({"legacy": True, "augment": "masking", **rates}, "without --augment;", "(1 problem)")


def test_folder_that_is_no_masked_language_model_is_refused(assert_refused_early, tmp_path):
    masked = {"augment": "masked_lm"}
    nowhere, empty, left_to_right = (tmp_path / name for name in ("no-lm", "empty", "gpt2"))
    assert_refused_early({**masked, "augment_checkpoint": nowhere}, f"{nowhere}: there is no such folder")
    empty.mkdir()
    assert_refused_early({**masked, "augment_checkpoint": empty}, f"{empty} holds no config.json")
    left_to_right.mkdir()
    (left_to_right / "config.json").write_text(json.dumps(tiny_config("TFGPT2Model")))
    assert_refused_early({**masked, "augment_checkpoint": left_to_right}, "a gpt2 does not predict masked tokens")


def test_encoder_without_a_head_predicts_no_words(tagging, run_command, tmp_path):
    pytest.importorskip("tensorflow")
    masked = {"augment": "masked_lm", "augment_checkpoint": tagging.teacher}
    outcome = run_command("distil", *tagging.flags(tmp_path / "m", **masked))
    assert_refused(
        outcome, f"{tagging.teacher} cannot be read as a masked language model", "mlm___cls/predictions/bias"
    )
    assert not (tmp_path / "m").exists()


# Files and folders that are missing


def test_missing_task_folder_is_refused(assert_refused_early, tmp_path):
    assert_refused_early({"task": tmp_path / "nowhere"}, f"--task {tmp_path / 'nowhere'}: there is no such folder")


def test_missing_file_of_the_task_is_named_beside_those_that_are_there(assert_refused_early, tmp_path):
    os.remove(tmp_path / "task/labels.tsv")
    assert_refused_early({}, "lacks labels.tsv (there is: dev.tsv, test.tsv, train.tsv)")


def test_missing_transfer_file_is_refused(assert_refused_early, tmp_path):
    assert_refused_early(
        {"transfer_file": tmp_path / "no.txt"}, f"--transfer_file {tmp_path / 'no.txt'}: there is no such"
    )


def test_missing_teacher_checkpoint_is_refused(assert_refused_early, tmp_path):
    assert_refused_early({"pt_teacher_checkpoint": tmp_path / "no"}, f"{tmp_path / 'no'}: there is no such folder")


def test_folder_without_a_configuration_is_no_teacher(assert_refused_early, tmp_path):
    assert_refused_early({"pt_teacher_checkpoint": tmp_path / "task"}, "holds no config.json")


def test_teacher_without_weights_is_refused(hollow, run_command, tmp_path):
    pytest.importorskip("tensorflow")
    assert_refused(run_command("distil", *hollow.flags(tmp_path / "m")), "holds no weights", "model.safetensors")
    assert not (tmp_path / "m/model-ft.h5").exists()


@pytest.mark.parametrize("verb", ["predict", "ft"])
def test_missing_model_folder_is_refused(run_command, tmp_path, verb):
    pytest.importorskip("tensorflow")
    flags = ["--do_eval"] if verb == "predict" else []
    outcome = run_command(verb, "--model_dir", tmp_path / "no", *flags)
    assert_refused(outcome, f"--model_dir {tmp_path / 'no'}: there is no such folder")
    assert not (tmp_path / "no").exists()


def test_folder_of_an_unfinished_run_does_not_predict(run_command, tmp_path):
    pytest.importorskip("tensorflow")
    outcome = run_command("predict", "--model_dir", tmp_path, "--do_eval")
    assert_refused(outcome, "holds no xtremedistil-config.json: no distillation has finished there")


def test_missing_file_to_predict_is_refused_before_a_model_is_loaded(run_command, no_tensorflow, tmp_path):
    (tmp_path / "lines.tsv").write_text("a\n")
    outcome = run_command("predict", "--model_dir", tmp_path, "--do_predict", "--pred_file", tmp_path / "lines.txt")
    assert_refused(outcome, f"{tmp_path / 'lines.txt'} does not exist", "lines.tsv")


def test_predict_with_nothing_to_do_is_refused(run_command, no_tensorflow, tmp_path):
    message = "nothing to do: give --pred_file to label a file, --do_eval to score the test file, or both"
    assert_refused(run_command("predict", "--model_dir", tmp_path), message)


def test_predict_without_a_file_is_refused(run_command, no_tensorflow, tmp_path):
    assert_refused(run_command("predict", "--model_dir", tmp_path, "--do_predict"), "--do_predict needs --pred_file")


@pytest.mark.parametrize("verb", ["predict", "predict-onnx"])
def test_file_in_place_of_the_folder_for_predictions_is_refused(run_command, no_tensorflow, tmp_path, verb):
    (tmp_path / "mine").write_text("mine")
    outcome = run_command(verb, "--model_dir", tmp_path, "--do_eval", "--output_dir", tmp_path / "mine")
    assert_refused(outcome, f"--output_dir {tmp_path / 'mine'}: there is a file of that name")
    assert (tmp_path / "mine").read_text() == "mine"


def test_folder_for_predictions_below_a_file_is_refused(distilled, run_command, tmp_path):
    pytest.importorskip("tensorflow")
    (tmp_path / "mine").write_text("mine")
    out = tmp_path / "mine" / "below"
    outcome = run_command("predict", "--model_dir", distilled / "student", "--do_eval", "--output_dir", out)
    assert_refused(outcome, f"--output_dir {out} cannot be made: Not a directory")


def test_file_in_place_of_the_model_folder_is_refused(hollow, run_command, tmp_path):
    pytest.importorskip("tensorflow")
    (tmp_path / "m").write_text("mine")
    assert_refused(run_command("distil", *hollow.flags(tmp_path / "m")), f"{tmp_path / 'm'} cannot be used as a folder")
    assert (tmp_path / "m").read_text() == "mine"


def test_onnx_prediction_says_what_to_install(run_command, no_tensorflow, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert_refused(
        run_command("predict-onnx", "--model_dir", tmp_path, "--do_eval"),
        "ONNX Runtime needs onnxruntime, not installed here",
        'pip install xtremedistil',
    )


# Faults inside files


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("task/train.tsv", b"john ran\tB-PER O\njohn ran\tO\n", ["train.tsv, line 2", "2 words", "1 tag"]),
        ("task/train.tsv", b"john ran\tB-PRE O\n", ["train.tsv, line 1", "B-PRE", "Did you mean 'B-PER'?"]),
        ("task/train.tsv", b"john ran\n", ["train.tsv, line 1: 1 column, expected 2", "words<TAB>tags"]),
        ("task/dev.tsv", b"john\tO\tO\n", ["dev.tsv, line 1: 3 columns, expected 2"]),
        ("task/train.tsv", b"", ["train.tsv has no rows"]),
        ("task/labels.tsv", b"\n", ["labels.tsv has no labels"]),
        ("task/train.tsv", b"john\tO\nmar\xffy\tO\n", ["train.tsv, line 2: not UTF-8 (byte 0xff at position 4)"]),
        ("task/test.tsv", b"john\tO\nma\x00ry\tO\n", ["test.tsv, line 2: a NUL character at position 3"]),
        ("task/test.tsv", "john\tO\n".encode("utf-16"), ["test.tsv, line 1: not UTF-8", "save it as UTF-8"]),
        ("transfer.txt", b"\n\n", ["transfer.txt has no rows"]),
        ("transfer.txt", b"john ran\n\xe9t\xe9\n", ["transfer.txt, line 2: not UTF-8"]),
    ],
)
def test_fault_in_a_file_is_refused_with_its_line(hollow, run_command, tmp_path, name, content, words):
    pytest.importorskip("tensorflow")
    (tmp_path / name).write_bytes(content)
    assert_refused(run_command("distil", *hollow.flags(tmp_path / "m")), *words)
    assert contents(tmp_path / "m") == {}


@pytest.mark.parametrize("verb", ["distil", "distil --dry_run", "model-ft"])
def test_weight_of_an_unknown_label_is_refused_before_training(hollow, run_command, tmp_path, verb):
    pytest.importorskip("tensorflow")
    flags = hollow.flags(tmp_path / "m")
    if verb == "model-ft":
        flags = ["--model_dir", tmp_path / "m", "--task", hollow.task, "--seq_len", 12, "--do_NER"]
        flags += ["--pt_model_checkpoint", hollow.teacher]
    outcome = run_command(*verb.split(), *flags, "--class_weight", "O=0.5,B-PRE=2")
    assert_refused(
        outcome, "the label 'B-PRE' is not among the task's. Did you mean 'B-PER'?", "labels: O, B-PER, B-LOC"
    )
    assert contents(tmp_path / "m") == {}


def test_damaged_gzip_is_refused(hollow, run_command, tmp_path):
    pytest.importorskip("tensorflow")
    import gzip

    os.remove(tmp_path / "transfer.txt")
    (tmp_path / "transfer.txt.gz").write_bytes(gzip.compress(b"john ran\n" * 50)[:-6])
    assert_refused(run_command("distil", *hollow.flags(tmp_path / "m")), "transfer.txt.gz is not a complete gzip file")


def test_byte_order_mark_carriage_returns_and_quotes_are_accepted(hollow, run_command, tmp_path):
    rows = '\ufeff" john "\tO B-PER O\r\nsat "\tO O\r\n'
    (tmp_path / "task/train.tsv").write_bytes(rows.encode())
    outcome = run_command("distil", *hollow.flags(tmp_path / "m", dry_run=True))
    assert outcome.code == 0, outcome.err
    assert not (tmp_path / "m").exists()


# Checkpoints


def test_tokenizer_with_more_tokens_than_the_teachers_embeddings_is_refused(assert_refused_early, hollow):
    with open(Path(hollow.teacher) / "vocab.txt", "a", encoding="utf-8") as file:
        file.write("zebra\n")
    assert_refused_early({}, f"says vocab_size {PIECES}, but there are {PIECES + 1} tokens in the tokenizer")


def test_student_of_another_vocabulary_needs_the_teachers_embeddings(assert_refused_early, word_piece_folder, tmp_path):
    changes = {"hidden_size": 8, "num_hidden_layers": 2, "vocab_size": PIECES + 9}
    student = write_hollow_bert(tmp_path / "student", word_piece_folder, **changes)
    with open(Path(student) / "vocab.txt", "a", encoding="utf-8") as file:
        file.writelines(f"more{number}\n" for number in range(9))
    assert_refused_early(
        {"pt_student_checkpoint": student},
        f"has {PIECES + 9} tokens",
        f"tokenizer {PIECES}",
        "Give --compress_word_embedding",
        "no checkpoint",
    )


def test_student_of_as_many_but_other_words_is_refused(assert_refused_early, word_piece_folder, tmp_path):
    student = write_hollow_bert(tmp_path / "student", word_piece_folder, hidden_size=8, num_hidden_layers=2)
    path = Path(student) / "vocab.txt"
    words = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*words[:-2], words[-1], words[-2]]) + "\n", encoding="utf-8")
    assert_refused_early({"pt_student_checkpoint": student}, "or other tokens", "Give --compress_word_embedding")


def test_student_of_another_vocabulary_is_accepted_with_the_teachers_embeddings(
    hollow, run_command, word_piece_folder, tmp_path
):
    changes = {"hidden_size": 8, "num_hidden_layers": 2, "vocab_size": PIECES + 9}
    student = write_hollow_bert(tmp_path / "student", word_piece_folder, **changes)
    flags = hollow.flags(tmp_path / "m", pt_student_checkpoint=student, compress_word_embedding=True, dry_run=True)
    outcome = run_command("distil", *flags)
    assert outcome.code == 0, outcome.err
    assert "student 2 layers x 8, 2 heads, 45 tokens" in outcome.out


def test_student_checkpoint_bigger_than_the_teacher_is_refused(assert_refused_early, word_piece_folder, tmp_path):
    student = write_hollow_bert(tmp_path / "student", word_piece_folder, hidden_size=32, num_hidden_layers=6)
    assert_refused_early({"pt_student_checkpoint": student}, "wider (32)", "the student has 6 layers", "(2 problems)")


def test_left_to_right_checkpoint_is_no_student(assert_refused_early, word_piece_folder, tmp_path):
    sizes = {"model_type": "gpt2", "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 32}
    student = write_hollow_bert(tmp_path / "student", word_piece_folder, **sizes)
    assert_refused_early({"pt_student_checkpoint": student}, "a gpt2 cannot be a student")


def test_teacher_of_an_unknown_type_is_refused(assert_refused_early, word_piece_folder, tmp_path):
    teacher = write_hollow_bert(tmp_path / "llama", word_piece_folder, model_type="llama")
    assert_refused_early({"pt_teacher_checkpoint": teacher, "pt_teacher": "auto"}, "model_type 'llama' cannot be used")


@pytest.mark.parametrize("flag", ["pt_teacher_checkpoint", "pt_student_checkpoint"])
def test_checkpoint_with_relative_positions_is_refused(assert_refused_early, word_piece_folder, tmp_path, flag):
    changes = {"hidden_size": 8, "num_hidden_layers": 2, "position_embedding_type": "relative_key"}
    checkpoint = write_hollow_bert(tmp_path / "relative", word_piece_folder, **changes)
    assert_refused_early({flag: checkpoint}, f"{checkpoint}/config.json says position_embedding_type 'relative_key'")


@pytest.mark.parametrize(
    "feature, loss",
    [("values", "relation_kl,relation_heads=2"), ("attention_scores", "attention_mse"), ("queries", "hidden_mse")],
)
def test_family_without_queries_keys_and_values_is_refused_for_them(
    assert_refused_early, word_piece_folder, tmp_path, feature, loss
):
    folder = write_hollow_bert(tmp_path / "xlnet", word_piece_folder, model_type="xlnet")
    changes = {"pt_teacher": "auto", "pt_teacher_checkpoint": folder}
    match = f"feature={feature},teacher=1,student=0,loss={loss}"
    assert_refused_early(
        changes | {"match": match},
        f"--match {feature}_",
        "teacher: TFXLNetModel has no separate layers for queries, keys and values",
        "(1 problem)",
    )


def test_damaged_configuration_is_refused(assert_refused_early, tmp_path):
    (tmp_path / "teacher/config.json").write_text('{"model_type": "be')
    assert_refused_early({}, "config.json is not valid JSON")


# Model folders


def test_folder_of_other_settings_is_refused_with_the_differences(distilled, tagging, run_command, tmp_path):
    pytest.importorskip("tensorflow")
    shutil.copytree(distilled, tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path)
    outcome = run_command("distil", *main_flags(tagging, tmp_path), "--seed", 6, "--patience", 7)
    assert_refused(outcome, "belongs to a run with other settings", "seed: 5 there, 6 now", "patience: 5 there, 7 now")
    assert_refused(outcome, "--overwrite")
    assert "hidden_size" not in outcome.err
    assert contents(tmp_path) == before


def test_folder_with_stages_of_unknown_settings_is_refused(hollow, run_command, tmp_path):
    pytest.importorskip("tensorflow")
    (tmp_path / "m").mkdir()
    (tmp_path / "m/model-stage-1-indx-0.h5").write_bytes(b"stage")
    outcome = run_command("distil", *hollow.flags(tmp_path / "m"))
    assert_refused(outcome, "holds model-stage-1-indx-0.h5 but no record of the settings", "--overwrite")
    assert contents(tmp_path / "m") == {"model-stage-1-indx-0.h5": b"stage"}


def test_overwrite_with_bad_files_keeps_the_run_that_was_there(distilled, tagging, run_command, tmp_path):
    pytest.importorskip("tensorflow")
    shutil.copytree(distilled, tmp_path / "runs")
    before = contents(tmp_path / "runs")
    (tmp_path / "empty.txt").write_bytes(b"\n")
    flags = main_flags(tagging, tmp_path / "runs")
    outcome = run_command("distil", *flags, "--overwrite", "--transfer_file", tmp_path / "empty.txt")
    assert_refused(outcome, "empty.txt has no rows")
    assert contents(tmp_path / "runs") == before


@pytest.mark.parametrize("verb", ["distil", "ft", "model-ft"])
def test_second_run_in_one_folder_is_refused(hollow, run_command, tmp_path, verb):
    pytest.importorskip("tensorflow")
    model_dir = tmp_path / "m"
    model_dir.mkdir()
    saved = {"task": "t", "do_NER": False, "do_pairwise": False, "seq_len": 8, "label_list": ["a"]}
    saved |= {"teacher_hidden_size": 4}
    (model_dir / model_folder.CONFIG).write_text(json.dumps(saved))
    flags = {
        "distil": hollow.flags(model_dir),
        "ft": ["--model_dir", model_dir],
        "model-ft": ["--model_dir", model_dir, "--task", hollow.task, "--seq_len", 12, "--do_NER"]
        + ["--pt_model_checkpoint", hollow.teacher],
    }
    before = contents(model_dir)
    with open(model_dir / folders.LOCK, "w") as other_run:
        fcntl.flock(other_run, fcntl.LOCK_EX)
        assert_refused(run_command(verb, *flags[verb]), f"Another run is at work in {model_dir}", "another folder")
    assert contents(model_dir) == before


def test_teacher_folder_that_another_run_tunes_in_is_refused(hollow, run_command, tmp_path):
    pytest.importorskip("tensorflow")
    (tmp_path / "shared").mkdir()
    with open(tmp_path / "shared" / folders.LOCK, "w") as other_run:
        fcntl.flock(other_run, fcntl.LOCK_EX)
        outcome = run_command("distil", *hollow.flags(tmp_path / "m", teacher_model_dir=tmp_path / "shared"))
    assert_refused(outcome, f"Another run is at work in {tmp_path / 'shared'}")


def test_settings_that_no_distillation_wrote_are_refused(run_command, tmp_path):
    pytest.importorskip("tensorflow")
    for text, words in [
        ('{"model_type": "bert"}', "lacks task"),
        ("[1]", "expected a JSON object"),
        ("{", "not valid"),
    ]:
        (tmp_path / model_folder.CONFIG).write_text(text)
        assert_refused(run_command("predict", "--model_dir", tmp_path, "--do_eval"), model_folder.CONFIG, words)


# Weight files


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def unfinished(distilled, tmp_path) -> Path:
    """The run of `distilled` as it was before its sixth stage."""
    root = Path(shutil.copytree(distilled, tmp_path / "unfinished"))
    for name in contents(root / "student"):
        last = ("model-stage-6", "model-stage-7", "xtremedistil", "report", "word_embedding", "baseline")
        if name.startswith(last):
            os.remove(root / "student" / name)
    return root


@pytest.mark.slow
def test_damaged_stage_checkpoint_is_made_again(unfinished, tagging, run_command):
    """Its weights, and its history: cut off, or with another score."""
    damaged = ["model-stage-3-indx-0.h5", "model-stage-2-indx-0-history.json", "model-stage-1-indx-0-history.json"]
    paths = [unfinished / "student" / name for name in damaged]
    weights = unfinished / "student/model-stage-3-indx-0.h5"
    whole = weights.read_bytes()
    for path in paths[:2]:
        truncate(path)
    record = json.loads(paths[2].read_text())
    paths[2].write_text(json.dumps(record | {"score": record["score"] + 1}))
    outcome = run_command("distil", *main_flags(tagging, unfinished))
    assert outcome.code == 0, outcome.err
    for name in damaged:
        assert f"{name} is damaged; its fit is done again." in outcome.err
    assert weights.read_bytes() == whole


def test_disk_without_room_for_the_teachers_outputs_is_refused_before_the_teacher_is_made(
    hollow, run_command, monkeypatch, tmp_path
):
    pytest.importorskip("tensorflow")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    outcome = run_command("distil", *hollow.flags(tmp_path / "m", teacher_outputs="cache"))
    assert_refused(outcome, "--teacher_outputs cache: the teacher's outputs take 0.0 MB", "--teacher_outputs live")


@pytest.mark.parametrize("verb", ["predict", "ft", "model-ft"])
def test_precision_is_float32_again_after_a_run_that_failed(hollow, word_piece_folder, run_command, tmp_path, verb):
    tf_keras = pytest.importorskip("tf_keras")
    student = write_student(tmp_path / "m", "TFBertModel", "token_classification", word_piece_folder)
    truncate(student / "xtremedistil.h5")
    task = ["--task", hollow.task]
    flags = {
        "predict": [*task, "--do_eval"],
        "ft": task,
        "model-ft": [*task, "--do_NER", "--seq_len", 12, "--pt_model_checkpoint", hollow.teacher],
    }
    outcome = run_command(verb, "--model_dir", student, *flags[verb], "--opt_policy", "mixed_bfloat16")
    assert_refused(outcome, "holds no weights" if verb == "model-ft" else "xtremedistil.h5")
    assert tf_keras.mixed_precision.global_policy().name == "float32"


@pytest.mark.parametrize("damage", ["truncated", "foreign", "text"])
def test_damaged_student_weights_are_refused(distilled, run_command, tmp_path, damage):
    pytest.importorskip("tensorflow")
    folder = Path(shutil.copytree(distilled / "student", tmp_path / "m"))
    os.remove(folder / "checksums.json")  # which would tell first
    path = folder / "xtremedistil.h5"
    if damage == "truncated":
        truncate(path)
    elif damage == "foreign":
        shutil.copyfile(distilled / "teacher/model-ft.h5", path)
    else:
        path.write_text("not HDF5 at all")
    write_rows(tmp_path / "lines.txt", [("john ran",)])
    outcome = run_command("predict", "--model_dir", folder, "--do_predict", "--pred_file", tmp_path / "lines.txt")
    words = {"foreign": "tf_model", "text": "has 15 bytes, but", "truncated": "not a readable weight file"}
    assert_refused(outcome, str(path), words[damage])
    assert not list(folder.glob("predictions*"))


def test_weight_file_that_is_not_there_is_refused_with_those_that_are(distilled, run_command):
    pytest.importorskip("tensorflow")
    outcome = run_command("predict", "--model_dir", distilled / "student", "--weights", "no.h5", "--do_eval")
    assert_refused(outcome, "no.h5 does not exist", "xtremedistil.h5")


@pytest.mark.parametrize("damage", ["truncated", "foreign", "text"])
def test_damaged_teacher_weights_are_refused(distilled, hollow, run_command, tmp_path, damage):
    pytest.importorskip("tensorflow")
    folder = Path(shutil.copytree(distilled / "teacher", tmp_path / "t"))
    os.remove(folder / "model-ft.json")
    os.remove(folder / "checksums.json")  # which would tell first
    path = folder / "model-ft.h5"
    if damage == "truncated":
        truncate(path)
    elif damage == "foreign":
        shutil.copyfile(distilled / "student/xtremedistil.h5", path)
    else:
        path.write_text("not HDF5 at all")
    before = contents(folder)
    outcome = run_command("distil", *hollow.flags(tmp_path / "m", teacher_model_dir=folder))
    words = "not a fine-tuned teacher" if damage == "foreign" else "not a readable weight file"
    assert_refused(outcome, str(path), words)
    assert contents(folder) == before


def test_teacher_tuned_on_other_rows_is_refused(distilled, tagging, run_command, tmp_path):
    pytest.importorskip("tensorflow")
    task = Path(shutil.copytree(tagging.task, tmp_path / "task"))
    write_rows(task / "train.tsv", [("john ran", "B-PER O"), ("in london", "O B-LOC")])
    flags = tagging.flags(tmp_path / "m", task=task, teacher_model_dir=distilled / "teacher")
    outcome = run_command("distil", *flags)
    assert_refused(outcome, "model-ft.h5 was fine-tuned with other settings: train", "--teacher_model_dir")


# No space


def no_space(*_arguments, **_named):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_in_the_middle_of_a_run_keeps_every_checkpoint(
    unfinished, tagging, run_command, eagerly, monkeypatch
):
    before = contents(unfinished)
    flags = [flag for flag in main_flags(tagging, unfinished) if flag != "--baseline"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        assert_refused(run_command("distil", *flags), "cannot be written", "No space left on device")
    after = contents(unfinished)
    assert {name: after[name] for name in before} == before
    assert not [name for name in set(after) - set(before) if "frozen-features" not in name]


def test_full_disk_while_teacher_outputs_are_written_is_refused(
    distilled, tagging, run_command, eagerly, monkeypatch, tmp_path
):
    flags = tagging.flags(
        tmp_path / "m", teacher_model_dir=distilled / "teacher", teacher_outputs_dir=tmp_path / "targets"
    )
    monkeypatch.setattr(np.lib.format, "open_memmap", no_space)
    assert_refused(run_command("distil", *flags), "No space left on device")
    assert not [name for name in contents(tmp_path / "m") if name.startswith("model-stage")]


def test_full_disk_keeps_the_weights_that_continued_training_wrote_before(
    distilled, run_command, eagerly, monkeypatch, tmp_path
):
    folder = Path(shutil.copytree(distilled / "student", tmp_path / "m"))
    shutil.copyfile(folder / "xtremedistil.h5", folder / "xtremedistil-ft.h5")
    before = contents(folder)
    monkeypatch.setattr(os, "replace", no_space)
    outcome = run_command("ft", "--model_dir", folder, "--ft_epochs", 1)
    assert_refused(outcome, "checksums.json cannot be written", "No space left on device")
    assert contents(folder) == before


def test_full_disk_while_predictions_are_written_leaves_none(distilled, run_command, monkeypatch, tmp_path):
    pytest.importorskip("tensorflow")
    folder = Path(shutil.copytree(distilled / "student", tmp_path / "m"))
    write_rows(tmp_path / "lines.txt", [("john ran",)])
    monkeypatch.setattr(os, "fsync", no_space)
    outcome = run_command("predict", "--model_dir", folder, "--do_predict", "--pred_file", tmp_path / "lines.txt")
    assert_refused(outcome, "predictions.txt cannot be written", "No space left on device")
    assert not list(folder.glob("predictions*"))
