"""The folder for PyTorch's transformers: what is in it, and that every reader of it says what the student says."""

import errno
import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.command_fixtures import TAGS, sentences, write_rows, write_student
from tests.model_fixtures import STUDENTS, rows

pytest.importorskip("tensorflow")

from xtremedistil import load_predictor, load_student, save_pretrained  # noqa: E402
from xtremedistil.errors import InputError  # noqa: E402
from xtremedistil.export.common.parity import LARGEST_DIFFERENCE, Exported  # noqa: E402
from xtremedistil.export.huggingface import huggingface  # noqa: E402
from xtremedistil.storage.files import write_json  # noqa: E402
from xtremedistil.storage.model_folder import CONFIG, CONTINUED_WEIGHTS, REPORT, STUDENT_WEIGHTS  # noqa: E402

KINDS = ["token_classification", "sequence_classification"]
PSEUDO = ["[PAD]", "X", "[SEP]", "[CLS]"]
TOKENIZER_FILES = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"}
BYTE_LEVEL = ("TFRobertaModel", "TFXLMRobertaModel")
# Text heads differ from family to family, but XLM-RoBERTa's; for tagging all have one linear layer of the same name.
TELLING = {(name, "sequence_classification") for name in STUDENTS if name != "TFXLMRobertaModel"}
TELLING |= {("TFBertModel", "token_classification"), ("TFElectraModel", "token_classification")}
EVERY_STUDENT = [
    pytest.param(name, kind, marks=[] if (name, kind) in TELLING else pytest.mark.slow)
    for name in STUDENTS
    for kind in KINDS
]


@dataclass
class Case:
    """A student's folder and its export."""

    model_dir: Path
    out: Path
    exported: Exported

    def read(self, name: str) -> dict:
        return json.loads((self.out / name).read_text())

    def student_logits(self, inputs: dict) -> np.ndarray:
        return load_student(str(self.model_dir))(inputs)["logits"].numpy()


def write_texts(path: Path, pairs: bool = False) -> str:
    texts = [" ".join(words) for words in sentences(6, 8)]
    write_rows(path, [(text, text) if pairs else (text,) for text in texts])
    return str(path)


def export_student(folder: Path, class_name: str, kind: str, tokenizer_folder: str, **changes) -> Case:
    folder.mkdir(parents=True, exist_ok=True)
    model_dir = write_student(folder / "student", class_name, kind, tokenizer_folder, **changes)
    texts = write_texts(folder / "texts.tsv", changes.get("pairs", False))
    return Case(model_dir, folder / "out", save_pretrained(str(model_dir), str(folder / "out"), rows=texts))


@pytest.fixture(scope="module")
def cases(tmp_path_factory, word_piece_folder, byte_level_folder):
    """(class name, kind) -> an exported student, made on first use; tests must not change it."""
    root, made = tmp_path_factory.mktemp("cases"), {}

    def make(class_name: str, kind: str) -> Case:
        if (class_name, kind) not in made:
            tokenizer = byte_level_folder if class_name in BYTE_LEVEL else word_piece_folder
            folder = root / f"{class_name}-{kind}"
            made[class_name, kind] = export_student(folder, class_name, kind, tokenizer)
        return made[class_name, kind]

    return make


@pytest.fixture
def bert_tagger(cases) -> Case:
    return cases("TFBertModel", "token_classification")


@pytest.fixture
def export_again(bert_tagger, tmp_path):
    """Exports the tagger to a place of the test's own."""
    texts = write_texts(tmp_path / "texts.tsv")
    return lambda out: save_pretrained(str(bert_tagger.model_dir), str(out), rows=texts)


# The folder


@pytest.mark.parametrize(("class_name", "kind"), EVERY_STUDENT)
def test_every_family_reads_back_as_the_student(class_name, kind, cases):
    case = cases(class_name, kind)
    assert case.exported.largest_difference <= LARGEST_DIFFERENCE
    assert case.exported.label_agreement == 1.0
    assert (case.exported.form, case.exported.path) == ("huggingface", "out")
    ending = "ForTokenClassification" if kind == "token_classification" else "ForSequenceClassification"
    assert case.read("config.json")["architectures"] == [class_name[2:].removesuffix("Model") + ending]
    assert any("projection" in remark and "merged" in remark for remark in case.exported.remarks)
    assert not any("tokenizer alone" in remark for remark in case.exported.remarks)


def test_command_writes_exactly_these_files(distilled, tmp_path, run_command):
    model_dir = shutil.copytree(distilled / "student", tmp_path / "student")
    outcome = run_command("export", "--model_dir", model_dir, "--to", "huggingface")
    assert outcome.code == 0, outcome.err
    assert "the projection to the teacher's width is merged" in outcome.out
    folder = model_dir / "huggingface"
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
        "checksums.json",
    } | TOKENIZER_FILES
    assert {path.name for path in model_dir.iterdir() if "huggingface" in path.name} == {"huggingface"}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        (model_dir / "report.json").stat().st_mode & 0o777
    }
    entry = json.loads((model_dir / "export.json").read_text())["exports"]["huggingface"]
    assert entry["largest_difference"] <= LARGEST_DIFFERENCE and entry["label_agreement"] == 1.0
    report = {row["name"]: row for row in json.loads((model_dir / "report.json").read_text())["rows"]}
    card = (folder / "README.md").read_text()
    for name, row in (("teacher", "teacher"), ("this student", "student")):
        assert f"| {name} | {100 * report[row]['dev']:.1f} | {100 * report[row]['test']:.1f} |" in card


def test_configuration_names_labels_and_keeps_the_sizes(bert_tagger):
    config = bert_tagger.read("config.json")
    assert config["id2label"] == {"0": "O", "1": "B-PER", "2": "B-LOC"}
    assert config["label2id"] == {"O": 0, "B-PER": 1, "B-LOC": 2}
    assert config["torch_dtype"] == "float32"
    assert (config["hidden_size"], config["num_hidden_layers"]) == (12, 2)


def test_tokenizer_settings_are_the_students(cases):
    settings = cases("TFDistilBertModel", "sequence_classification").read("tokenizer_config.json")
    assert settings["model_input_names"] == ["input_ids", "attention_mask"]
    assert (settings["model_max_length"], settings["padding_side"]) == (24, "right")


def test_card_says_what_it_is_and_how_to_use_it(bert_tagger):
    card = (bert_tagger.out / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\npipeline_tag: token-classification\ntags:\n")
    assert "`O`, `B-PER`, `B-LOC`" in card
    assert 'aggregation_strategy="first"' in card
    assert "`big-model`" in card and "`zoo`" in card
    assert "Scores" not in card  # there is no report


def test_card_and_configuration_hold_no_paths(cases):
    case = cases("TFBertModel", "sequence_classification")
    for name in ("README.md", "config.json", "tokenizer_config.json"):
        text = (case.out / name).read_text()
        assert "/somewhere" not in text and str(case.model_dir) not in text


@pytest.mark.slow
def test_card_of_continued_weights_leaves_the_reports_scores_out(bert_tagger, tmp_path):
    model_dir = shutil.copytree(bert_tagger.model_dir, tmp_path / "student")
    (model_dir / STUDENT_WEIGHTS).rename(model_dir / CONTINUED_WEIGHTS)
    row = {"name": "student", "parameters": 1, "metric": "f1", "dev": 0.5, "test": 0.5, "milliseconds": 1.0}
    write_json(str(model_dir / REPORT), {"rows": [row], "metrics": {}, "stages": [], "best_stage": None})
    texts = write_texts(tmp_path / "texts.tsv")
    save_pretrained(str(model_dir), str(tmp_path / "out"), weights=CONTINUED_WEIGHTS, rows=texts)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Scores" not in card and f"`{CONTINUED_WEIGHTS}`" in card


def test_pseudo_labels_are_kept_and_said(word_piece_folder, tmp_path):
    case = export_student(tmp_path, "TFBertModel", "token_classification", word_piece_folder, pseudo=PSEUDO)
    assert list(case.read("config.json")["id2label"].values()) == [*TAGS, *PSEUDO]
    assert any("the last 4 outputs ([PAD], X, [SEP], [CLS])" in remark for remark in case.exported.remarks)


@pytest.mark.slow
def test_tokenizer_that_makes_other_rows_is_said(gpt2_folder, tmp_path):
    case = export_student(tmp_path, "TFBertModel", "token_classification", gpt2_folder)
    remarks = " ".join(case.exported.remarks)
    assert re.search(r"for (\d+) of \1 texts the tokenizer alone makes other rows", remarks)


# Writing


@pytest.mark.slow
def test_earlier_export_is_replaced(export_again, tmp_path):
    export_again(tmp_path / "out")
    (tmp_path / "out" / "README.md").write_text("old")
    export_again(tmp_path / "out")
    assert "library_name" in (tmp_path / "out" / "README.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"out", "texts.tsv"}


def test_folder_of_something_else_is_refused(export_again, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.safetensors").write_text("somebody's")
    with pytest.raises(InputError, match="model.safetensors, which is not an earlier export"):
        export_again(tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_text() == "somebody's"


def test_earlier_export_with_other_files_is_refused(export_again, bert_tagger, tmp_path):
    shutil.copytree(bert_tagger.out, tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds notes.txt, too"):
        export_again(tmp_path / "out")


def test_file_in_place_of_the_folder_is_refused(export_again, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="out is a file"):
        export_again(tmp_path / "out")


def test_export_that_differs_leaves_the_earlier_one_alone(export_again, bert_tagger, tmp_path, monkeypatch):
    shutil.copytree(bert_tagger.out, tmp_path / "out")
    monkeypatch.setattr(huggingface, "compare", lambda expected, found, chosen: (math.nan, 0.0))
    with pytest.raises(InputError, match="The huggingface export differs"):
        export_again(tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_bytes() == (bert_tagger.out / "README.md").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"out", "texts.tsv"}


def test_full_disk_leaves_nothing_and_names_the_place(export_again, tmp_path, monkeypatch):
    def no_space(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(InputError, match="/out/model.safetensors cannot be written: No space left on device"):
        export_again(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"texts.tsv"}


@pytest.mark.slow
def test_positions_are_absolute_whatever_the_students_configuration_says(bert_tagger, tmp_path):
    """TensorFlow's classes do not heed this setting; PyTorch's do."""
    model_dir = shutil.copytree(bert_tagger.model_dir, tmp_path / "student")
    saved = json.loads((model_dir / CONFIG).read_text())
    saved["student_config"]["position_embedding_type"] = "relative_key"
    write_json(str(model_dir / CONFIG), saved)
    save_pretrained(str(model_dir), str(tmp_path / "out"), rows=write_texts(tmp_path / "texts.tsv"))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config.get("position_embedding_type", "absolute") == "absolute"


# Heads


@pytest.mark.slow
def test_more_labels_than_half_the_width_export_too(word_piece_folder, tmp_path):
    labels = [f"class {number}" for number in range(9)]  # of 12 units between
    case = export_student(tmp_path, "TFElectraModel", "sequence_classification", word_piece_folder, labels=labels)
    assert case.exported.largest_difference <= LARGEST_DIFFERENCE
    assert any("taken off behind it" in remark for remark in case.exported.remarks)


# PyTorch


@pytest.mark.parametrize(("class_name", "kind"), EVERY_STUDENT)
def test_pytorch_loads_every_weight_and_gives_the_same_logits(class_name, kind, cases):
    case = cases(class_name, kind)
    logits, info = pytorch_logits(case, kind)
    assert not any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert_same_logits(case, logits)


def assert_same_logits(case: Case, logits: np.ndarray) -> None:
    """Of `padded_rows`, at the positions that are no padding."""
    inputs = padded_rows(case)
    expected = case.student_logits(inputs)
    if expected.ndim == 3:
        logits, expected = (values[inputs["attention_mask"] == 1] for values in (logits, expected))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=LARGEST_DIFFERENCE)


def padded_rows(case: Case) -> dict:
    return rows(lengths=(9, 4, 6), width=9, pad_id=case.read("config.json").get("pad_token_id", 0))


def pytorch_logits(case: Case, kind: str) -> tuple[np.ndarray, dict]:
    torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
    import transformers

    name = "AutoModelForTokenClassification" if "token" in kind else "AutoModelForSequenceClassification"
    model, info = getattr(transformers, name).from_pretrained(str(case.out), output_loading_info=True)
    names = case.read("tokenizer_config.json")["model_input_names"]
    fed = {name: torch.tensor(array).long() for name, array in padded_rows(case).items() if name in names}
    with torch.no_grad():
        return model.eval()(**fed).logits.numpy(), info


def test_pipeline_tags_words_as_the_predictor_does(bert_tagger):
    pytest.importorskip("torch", reason="the extra `torch` is not installed")
    from transformers import pipeline

    tagger = pipeline(
        "token-classification",
        model=str(bert_tagger.out),
        aggregation_strategy="first",
        ignore_labels=[],
        framework="pt",
    )
    texts = [" ".join(words) for words in sentences(5, 21)]
    expected = load_predictor(str(bert_tagger.model_dir))(texts)
    for text, tags in zip(texts, expected, strict=True):
        assert tags_of_words(text, tagger(text)) == tags


def tags_of_words(text: str, groups: list[dict]) -> list[str]:
    """The pipeline joins neighbours of one type, and calls types by their names without B- and I-."""
    starts = np.cumsum([0, *(len(word) + 1 for word in text.split(" "))])[:-1]
    found = [next(group for group in groups if group["start"] <= start < group["end"]) for start in starts]
    return [group["entity_group"] if group["entity_group"] == "O" else f"B-{group['entity_group']}" for group in found]


@pytest.mark.parametrize("class_name", ["TFBertModel", "TFDistilBertModel"])
def test_pipeline_classifies_pairs_as_the_predictor_does(class_name, word_piece_folder, tmp_path):
    pytest.importorskip("torch", reason="the extra `torch` is not installed")
    from transformers import pipeline

    case = export_student(tmp_path, class_name, "sequence_classification", word_piece_folder, pairs=True)
    classifier = pipeline("text-classification", model=str(case.out), framework="pt")
    pairs = [(" ".join(one), " ".join(other)) for one, other in zip(sentences(5, 1), sentences(5, 2), strict=True)]
    found = classifier([{"text": one, "text_pair": other} for one, other in pairs], truncation=True)
    assert [entry["label"] for entry in found] == load_predictor(str(case.model_dir))(pairs)


READ_WITH_PYTORCH = """
import sys
import numpy as np
import torch
import transformers

assert transformers.__version__.startswith("5."), transformers.__version__
for folder in sys.argv[1:]:
    config = transformers.AutoConfig.from_pretrained(folder)
    model, info = getattr(transformers, config.architectures[0]).from_pretrained(folder, output_loading_info=True)
    assert not any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys")), (folder, info)
    rows = np.load(f"{folder}/rows.npz")
    names = transformers.AutoTokenizer.from_pretrained(folder).model_input_names
    inputs = {name: torch.tensor(rows[name]).long() for name in names}
    with torch.no_grad():
        np.save(f"{folder}/logits.npy", model.eval()(**inputs).logits.numpy())
"""


@pytest.mark.slow
@pytest.mark.network
def test_transformers_5_gives_the_same_logits(cases, tmp_path):
    pytest.importorskip("torch", reason="the extra `torch` is not installed")
    newer, made = str(tmp_path / "packages"), {}
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", newer, "transformers>=5,<6"], check=True)
    for class_name in STUDENTS:
        for kind in KINDS:
            case = cases(class_name, kind)
            folder = Path(shutil.copytree(case.out, tmp_path / f"{class_name}-{kind}"))
            np.savez(folder / "rows.npz", **padded_rows(case))
            made[folder] = case
    environment = os.environ | {"PYTHONPATH": newer}
    subprocess.run([sys.executable, "-c", READ_WITH_PYTORCH, *made], check=True, env=environment, cwd=tmp_path)
    for folder, case in made.items():
        assert_same_logits(case, np.load(folder / "logits.npy"))
