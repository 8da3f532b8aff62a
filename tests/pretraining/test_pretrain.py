"""Whole pre-training runs on a tiny teacher and corpus."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import xtremedistil  # noqa: F401 - chooses legacy Keras
from tests.command_fixtures import PIECES, assert_refused, contents, sentences
from tests.conftest import TEXT
from tests.model_fixtures import masked_lm_state, open_language_model, shaken_masked_lm, tiny_config, write_checkpoint
from xtremedistil.console.progress import Progress
from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import FAMILIES
from xtremedistil.models.checkpoints.pretrained import load_encoder, read_config
from xtremedistil.models.checkpoints.weight_files import read_state
from xtremedistil.pretraining.config import PretrainConfig
from xtremedistil.pretraining.corpus import batches as batches_module
from xtremedistil.pretraining.corpus.store_writer import StoreWriter
from xtremedistil.training.optimizer import computes_in_float16
from xtremedistil.training.trainer import Trainer

tf = pytest.importorskip("tensorflow")

FOLDER = {"README.md", "config.json", "model.safetensors", "tf_model.h5"}
BERT = FAMILIES["TFBertModel"]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text("".join(" ".join(words) + "\n" for words in sentences(120, 4)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def teacher(word_piece_folder, tmp_path_factory) -> str:
    """A Bert of two layers, 12 wide, with its head for words and a tokenizer."""
    folder = tmp_path_factory.mktemp("teacher") / "bert"
    shutil.copytree(word_piece_folder, folder)
    state = masked_lm_state(shaken_masked_lm("TFBertModel", vocab_size=PIECES))
    return write_checkpoint(folder, tiny_config("TFBertModel") | {"vocab_size": PIECES}, state)


@pytest.fixture
def run(run_command, teacher, corpus, tmp_path):
    """Pre-trains into a folder and returns what the command came to."""

    def pretrain(name: str, *flags, **changes):
        values = {
            "pt_teacher_checkpoint": teacher,
            "corpus": corpus,
            "model_dir": tmp_path / name,
            "seq_len": 12,
            "batch_size": 8,
            "max_steps": 6,
            "eval_steps": 3,
            "learning_rate": 0.01,
            "seed": 5,
            **changes,
        }
        return run_command("pretrain", *(part for key, value in values.items() for part in (f"--{key}", value)), *flags)

    return pretrain


@pytest.fixture
def recorded(monkeypatch) -> dict[str, list]:
    """What corpus and model of each run were."""
    from xtremedistil.pretraining import pretrain

    found = {"open_corpus": [], "student_with_teacher": []}

    def recording(name: str):
        made = getattr(pretrain, name)

        def record(*arguments, **options):
            found[name].append(made(*arguments, **options))
            return found[name][-1]

        return record

    for name in found:
        monkeypatch.setattr(pretrain, name, recording(name))
    return found


def student(folder: Path):
    return load_encoder(str(folder / "checkpoint"), BERT, name="student")


def weights(folder: Path) -> dict[str, bytes]:
    """By name; the file's header has its entries in any order."""
    state = read_state(str(folder / "checkpoint/model.safetensors"))
    return {name: array.tobytes() for name, array in state.items()}


def metrics(folder: Path) -> dict:
    return json.loads((folder / "pretrain.json").read_text())


def card(folder: Path) -> str:
    return (folder / "checkpoint/README.md").read_text(encoding="utf-8")


@pytest.fixture
def steps_taken(monkeypatch) -> list[int]:
    """The numbers of all updates."""
    numbers, take = [], Trainer.step

    def step(self, batch, number, rate):
        numbers.append(number)
        return take(self, batch, number, rate)

    monkeypatch.setattr(Trainer, "step", step)
    return numbers


def test_distilberts_losses_make_a_folder_that_is_read_everywhere(run, eagerly, steps_taken, tmp_path):
    outcome = run("m", max_steps=5)
    assert steps_taken == list(range(5)), "so many exactly, though a score comes every third"
    assert outcome.code == 0, outcome.err
    folder = tmp_path / "m"
    assert {path.name for path in folder.iterdir() if path.name != ".lock"} == {
        "checkpoint", "corpus", "pretrain.json", "run-settings.json"}  # fmt: skip
    assert FOLDER <= {path.name for path in (folder / "checkpoint").iterdir()}
    config = read_config(str(folder / "checkpoint"))
    assert config["architectures"] == ["BertForMaskedLM"] and config["num_hidden_layers"] == 1
    found = metrics(folder)
    assert found["steps"] == 5 and len(found["history"]) == 2 and found["teacher_accuracy"] is not None
    assert {"soft_labels", "words", "loss"} < found["history"][0].keys()
    assert found["history"][1]["learning_rate"] == pytest.approx(0.01 / 5)
    assert found["loss"] == pytest.approx(-max(entry["score"] for entry in found["history"])), "the least is kept"
    assert "pipeline_tag: fill-mask" in card(folder) and "Masked tokens that are predicted rightly" in card(folder)
    assert "soft labels of masked tokens (T = 2) x 5, masked tokens x 2, " in card(folder)
    again = open_language_model(str(folder / "checkpoint"), "TFBertModel")
    assert again.head is not None and student(folder).config.hidden_size == 12
    before = contents(folder)
    outcome = run("m", max_steps=5)
    assert outcome.code == 0 and "has finished before" in outcome.err
    assert contents(folder) == before
    outcome = run("m", max_steps=5, temperature=3.0)
    assert outcome.code == 2 and "temperature: 2.0 there, 3.0 now" in outcome.err
    assert contents(folder) == before
    (folder / "metrics.json").write_text('{"metrics": {}}')  # of another command with this model_dir
    assert run("m", max_steps=5).code == 0


def test_run_that_was_stopped_ends_with_the_same_bytes(run, eagerly, interrupt_at, recorded, tmp_path):
    """With all that changes rows and steps, and a student that is narrower, so that its states are projected."""
    match = "feature=values,teacher=0,student=0,loss=hidden_mse"
    flags = {"hidden_size": 6, "match": match, "gradient_accumulation_steps": 2, "save_steps": 2}
    switches = ("--packed", "--whole_word_mask", "--soft_labels_on_all_tokens")
    assert run("whole", *switches, **flags).code == 0
    (corpus,), ((_, projections),) = recorded["open_corpus"], recorded["student_with_teacher"]
    assert corpus.on_all_tokens and corpus.per_step == 2 and corpus.masking.continues.any()
    assert set(corpus.train.sequences.lengths[:-1]) == {10}
    assert {tuple(layer.kernel.shape) for layer in projections} == {(6, 12)} and len(projections) == 2
    assert all(layer.bias.numpy().all() for layer in projections), "they begin at 0, and are trained"
    first, last = metrics(tmp_path / "whole")["history"]
    assert {"soft_labels", "words", "values_hidden_mse_0_0", "hidden_states_hidden_cosine_2_1"} < last.keys()
    assert last["loss"] < first["loss"]
    assert "soft labels of all tokens" in card(tmp_path / "whole")
    with interrupt_at("/2.json"):
        assert run("stopped", *switches, **flags).code == 130
    assert not (tmp_path / "stopped/checkpoint").exists()
    assert run("stopped", *switches, **flags).code == 0
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")
    assert not (tmp_path / "stopped/snapshots").exists()


@pytest.mark.slow
def test_batches_of_a_step_are_one_batch_of_their_rows(run, eagerly, tmp_path):
    shared = {"recipe": "minilmv2", "relation_heads": 6, "dropout": 0.0}
    for name, rows, batches in (("two", 8, 2), ("one", 16, 1)):
        assert run(name, **shared, batch_size=rows, gradient_accumulation_steps=batches).code == 0
    two, one = ([entry["loss"] for entry in metrics(tmp_path / name)["history"]] for name in ("two", "one"))
    assert two == pytest.approx(one, rel=1e-4)


@pytest.mark.slow
def test_assistant_is_the_teacher_of_a_student_from_a_checkpoint(run, eagerly, teacher, tmp_path):
    assert run("assistant", max_steps=2, opt_policy="mixed_bfloat16").code == 0
    rates = {"learning_rate": 1e-30, "weight_decay": 0}
    assistant = tmp_path / "assistant/checkpoint"
    outcome = run("m", pt_teacher_checkpoint=assistant, pt_student_checkpoint=teacher, max_steps=2, **rates)
    assert outcome.code == 0, outcome.err
    found = metrics(tmp_path / "m")
    assert found["teacher_accuracy"] is not None
    assert found["parameters"]["student"] > found["parameters"]["teacher"]
    state, written = (read_state(f"{folder}/model.safetensors") for folder in (teacher, tmp_path / "m/checkpoint"))
    assert {name for name in written if not np.array_equal(written[name], state[name])} == set()


@pytest.mark.slow
def test_runs_that_share_a_corpus_dir_tokenise_once(run, eagerly, monkeypatch, tmp_path):
    shared = {"corpus_dir": tmp_path / "shared", "recipe": "words", "max_steps": 1}
    assert run("first", **shared).code == 0
    before = contents(tmp_path / "shared")
    assert len(list((tmp_path / "shared").iterdir())) == 1 and not (tmp_path / "first/corpus").exists()
    monkeypatch.setattr(StoreWriter, "_tokenised", None)
    assert run("second", **shared).code == 0
    assert contents(tmp_path / "shared") == before
    assert weights(tmp_path / "second") == weights(tmp_path / "first")


def test_student_learns_which_words_there_are(run, eagerly, tmp_path):
    """The corpus has 18 words, alike in number: of ln(PIECES) nats, about ln(18) are left to know."""
    assert run("m", recipe="words", max_steps=40, eval_steps=20, learning_rate=0.05).code == 0
    first, last = metrics(tmp_path / "m")["history"]
    assert last["words"] < first["words"] - 0.1
    assert last["words"] < np.log(PIECES) - 0.4
    assert "# A small bert\n" in card(tmp_path / "m") and "bert`, which took no part in training" in card(
        tmp_path / "m"
    )
    assert "- distillation" not in card(tmp_path / "m")


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe, changes",
    [("minilm", {"hidden_size": 6}), ("minilmv2", {"hidden_size": 6, "num_attention_heads": 2, "relation_heads": 6})],
)
def test_relations_make_an_encoder_without_a_head(run, eagerly, monkeypatch, recipe, changes, tmp_path):
    monkeypatch.setattr(batches_module, "mask_tokens", None)  # no token is predicted
    outcome = run("m", recipe=recipe, **changes)
    assert outcome.code == 0, outcome.err
    config = read_config(str(tmp_path / "m/checkpoint"))
    assert config["architectures"] == ["BertModel"] and config["hidden_size"] == 6
    assert student(tmp_path / "m").config.intermediate_size == 24
    found = metrics(tmp_path / "m")
    assert found["student_accuracy"] is found["teacher_accuracy"] is None
    assert "from its teacher's hidden states or attention maps and has no language-modelling head" in card(
        tmp_path / "m"
    )
    assert "pipeline_tag" not in card(tmp_path / "m") and "## Scores" not in card(tmp_path / "m")


def test_picked_layers_begin_as_the_teachers(run, eagerly, teacher, tmp_path):
    rate = {"learning_rate": 1e-30, "weight_decay": 0}
    assert run("m", init_layers="1", **rate).code == 0
    theirs = {v.name.split("/", 1)[1]: v.numpy() for v in load_encoder(teacher, BERT, name="teacher").weights}
    own = {v.name.split("/", 1)[1]: v.numpy() for v in student(tmp_path / "m").weights}
    assert len(own) < len(theirs)
    for name, value in own.items():
        np.testing.assert_array_equal(value, theirs[name.replace("_._0/", "_._1/")])
    state, written = (read_state(f"{folder}/model.safetensors") for folder in (teacher, tmp_path / "m/checkpoint"))
    np.testing.assert_array_equal(written["cls.predictions.bias"], state["cls.predictions.bias"])


@pytest.mark.slow
def test_vocabulary_of_the_corpus_is_smaller_and_cuts_the_same_tokens(run, eagerly, teacher, tmp_path):
    from transformers import AutoTokenizer

    assert run("m", student_vocab="corpus").code == 0
    folder = tmp_path / "m/checkpoint"
    config = read_config(str(folder))
    assert config["vocab_size"] < PIECES and student(tmp_path / "m").weights[0].shape[0] == config["vocab_size"]
    one, other = AutoTokenizer.from_pretrained(teacher), AutoTokenizer.from_pretrained(folder)
    for words in sentences(20, 4):
        text = " ".join(words)
        assert one.tokenize(text) == other.tokenize(text)
    assert metrics(tmp_path / "m")["parameters"]["teacher"] < 5000


@pytest.mark.slow
def test_frozen_embeddings_stay_as_they_begin(run, eagerly, teacher, tmp_path):
    flags = ("--freeze_pos_embs", "--freeze_token_type_embds")
    assert run("m", *flags, init_layers="0").code == 0
    state, written = (read_state(f"{folder}/model.safetensors") for folder in (teacher, tmp_path / "m/checkpoint"))
    for kind, moved in (("position", False), ("token_type", False), ("word", True)):
        name = f"bert.embeddings.{kind}_embeddings.weight"
        assert np.array_equal(state[name], written[name]) != moved, kind


@pytest.mark.slow
def test_teacher_without_a_head_gets_one_that_a_later_run_takes(run, eagerly, tagging, tmp_path):
    teacher = {"pt_teacher_checkpoint": tagging.teacher}
    outcome = run("first", **teacher, teacher_head_steps=4)
    assert outcome.code == 0 and "comes without a language-modelling head" in outcome.err
    head = tmp_path / "first/language-head.h5"
    outcome = run("second", **teacher, teacher_head=head)
    assert outcome.code == 0 and "comes without" not in outcome.err
    assert (tmp_path / "second/language-head.h5").read_bytes() == head.read_bytes()
    assert weights(tmp_path / "second") == weights(tmp_path / "first")
    other = shutil.copytree(tagging.teacher, tmp_path / "other")
    (other / "vocab.txt").write_text((other / "vocab.txt").read_text().replace("john", "jahn"))
    refused = run("third", pt_teacher_checkpoint=other, teacher_head=head)
    assert_refused(refused, f"--teacher_head {head} was trained on another teacher")
    own = {"pt_teacher_checkpoint": tmp_path / "first/checkpoint"}
    assert_refused(run("third", **own, teacher_head=head), f"--teacher_head {head} was trained on another teacher")
    assert_refused(run("third", **own, teacher_head_steps=4), "--teacher_head_steps 4", "has a head of its own")


@pytest.mark.slow
def test_run_with_a_trained_head_goes_on_with_the_student_where_it_was_stopped(
    run, eagerly, interrupt_at, tagging, tmp_path
):
    """The head's snapshots are 1 and 2, then the student's begin at 1: it writes no other 1 when it goes on."""
    flags = {"pt_teacher_checkpoint": tagging.teacher, "teacher_head_steps": 4, "save_steps": 2}
    with interrupt_at("/3.json"):
        assert run("m", **flags).code == 130
    assert (tmp_path / "m/language-head.h5").is_file()
    with interrupt_at("/1.json"):
        assert run("m", **flags).code == 0
    assert metrics(tmp_path / "m")["steps"] == 6


@pytest.mark.slow
def test_gpt2_learns_the_next_word(run, eagerly, gpt2_folder, tmp_path):
    from tests.command_fixtures import write_random_checkpoint
    from xtremedistil.tokenization.tokenizer import Tokenizer

    config = tiny_config("TFGPT2Model") | {"vocab_size": Tokenizer.load(gpt2_folder).size}
    teacher = write_random_checkpoint(tmp_path / "gpt2", gpt2_folder, config, "TFGPT2Model")
    outcome = run("m", pt_teacher_checkpoint=teacher, objective="clm", seq_len=16)
    assert outcome.code == 0, outcome.err
    assert read_config(str(tmp_path / "m/checkpoint"))["architectures"] == ["GPT2LMHeadModel"]
    assert {"soft_labels", "words"} < metrics(tmp_path / "m")["history"][0].keys()
    assert "pipeline_tag: text-generation" in card(tmp_path / "m")
    assert "A general language model" in card(tmp_path / "m") and "Next tokens that are predicted rightly" in card(
        tmp_path / "m"
    )
    assert "soft labels of next tokens (T = 2) x 5, next tokens x 2, " in card(tmp_path / "m")


@pytest.mark.slow
def test_half_precision_is_of_both_models_and_scales_the_loss(run, eagerly, recorded, tmp_path):
    outcome = run("m", opt_policy="mixed_float16", hidden_size=6, max_steps=2, eval_steps=1)
    assert outcome.code == 0, outcome.err
    ((model, _),) = recorded["student_with_teacher"]
    assert computes_in_float16(model) and all(variable.dtype == tf.float32 for variable in model.weights)
    assert model.get_layer("teacher").compute_dtype == "float16"
    assert model.output["logits"].dtype == model.output["teacher_logits"].dtype == tf.float32
    first, last = metrics(tmp_path / "m")["history"]
    assert last["score"] > first["score"]


@pytest.mark.slow
def test_compiled_step_learns_what_a_plain_one_learns(run, request, tmp_path):
    """Rows of one width: what is hidden hangs on it, and that of compiled steps is rounded up."""
    flags = {"max_steps": 1, "eval_steps": 1, "dropout": 0.0, "seq_len": 16}
    outcome = run("compiled", "--packed", "--jit_compile", **flags)
    assert outcome.code == 0, outcome.err
    request.getfixturevalue("eagerly")
    assert run("plain", "--packed", **flags).code == 0
    (compiled,), (plain,) = (metrics(tmp_path / name)["history"] for name in ("compiled", "plain"))
    for name in ("loss", "soft_labels", "words", "score"):
        assert compiled[name] == pytest.approx(plain[name], rel=1e-4)


@pytest.mark.slow
def test_two_devices_come_to_what_one_comes_to(run, tmp_path):
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("TensorFlow was in use before a second logical CPU could be asked for")
    losses = []
    for strategy, rows in (("one_device", 8), ("mirrored", 4)):
        outcome = run(strategy, strategy=strategy, batch_size=rows, dropout=0.0)
        assert outcome.code == 0, outcome.err
        losses.append([entry["loss"] for entry in metrics(tmp_path / strategy)["history"]])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def reading(config: PretrainConfig):
    """What reading the corpus takes of a plan, for a teacher of which there is a tokenizer alone."""
    from xtremedistil.pretraining.plan import corpus_plan

    return SimpleNamespace(teacher=config.pt_teacher_checkpoint, corpus=corpus_plan(config), updates=config, seed=42)


@pytest.mark.parametrize("flags", [{}, {"student_vocab_min_count": 3}, {"student_vocab": "Ġthe\n"}])
def test_rows_are_cut_as_the_students_tokenizer_cuts_them(byte_level_folder, write_file, flags, tmp_path):
    from xtremedistil.pretraining.run_corpus import open_corpus

    if pieces := flags.get("student_vocab"):
        flags = {"student_vocab": write_file("pieces.txt", pieces)}
    places = {"pt_teacher_checkpoint": byte_level_folder, "corpus": (write_file("text.txt", "\n".join(TEXT)),)}
    config = PretrainConfig(**places | {"model_dir": "m", "student_vocab": "corpus", "batch_size": 1} | flags)
    workers = SimpleNamespace(on_chief=lambda work: work())
    corpus = open_corpus(reading(config), str(tmp_path / "corpus"), workers, 1, Progress())
    assert (tmp_path / "corpus-trimmed").exists() == bool(flags)
    found = []
    for reader in (corpus.train, corpus.held_out):
        ids, attention_mask = reader.read(np.arange(len(reader)))
        found += [row[own].tolist() for row, own in zip(ids, attention_mask, strict=True)]
    assert sorted(found) == sorted(ids for ids, _ in corpus.tokenizer.encode_texts(TEXT, None, 128))
    assert corpus.tokenizer.size == len(corpus.kept) == len(corpus.masking.weights) > max(map(max, found))


def test_word_corpus_means_the_corpus_whatever_files_there_are(word_piece_folder, write_file, monkeypatch, tmp_path):
    from xtremedistil.pretraining.run_corpus import open_corpus

    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").write_text("no token of any tokenizer\n" * 30)
    places = {"pt_teacher_checkpoint": word_piece_folder, "corpus": (write_file("text.txt", "\n".join(TEXT)),)}
    config = PretrainConfig(**places | {"model_dir": "m", "student_vocab": "corpus", "batch_size": 1})
    workers = SimpleNamespace(on_chief=lambda work: work())
    assert len(open_corpus(reading(config), str(tmp_path / "tokens"), workers, 1, Progress()).kept) > 5
    several = PretrainConfig(**places | {"model_dir": "m", "batch_size": 1, "gradient_accumulation_steps": 9})
    with pytest.raises(InputError, match="sequences to train on, fewer than the 9 of one step"):
        open_corpus(reading(several), str(tmp_path / "tokens"), workers, 1, Progress())


@pytest.mark.slow
def test_trimmed_student_is_distilled_from_a_teacher_that_loses_the_same_tokens(
    run, eagerly, tagging, run_command, tmp_path
):
    few = tmp_path / "few.txt"
    few.write_text("the cat sat on the mat\n" * 20 + "john ran in london\n" * 20)
    small = {"recipe": "minilmv2", "relation_heads": 4, "max_steps": 1, "eval_steps": 1, "num_hidden_layers": 1}
    outcome = run("m", pt_teacher_checkpoint=tagging.teacher, corpus=few, student_vocab="corpus", **small)
    assert outcome.code == 0, outcome.err
    student, folder = tmp_path / "m/checkpoint", tmp_path / "d"
    tokens = read_config(str(student))["vocab_size"]
    assert tokens < PIECES and "xtremedistil distil" in card(tmp_path / "m")
    flags = tagging.flags(folder, pt_student_checkpoint=student, distil_multi_hidden_states=True)
    assert run_command("distil", *flags, "--dry-run").code == 0
    outcome = run_command("distil", *flags)
    assert outcome.code == 0, outcome.err
    assert np.load(folder / "word_embedding.npy").shape[0] == tokens
    lines = tmp_path / "lines.txt"
    lines.write_text("john ran in rome\n")
    assert run_command("predict", "--model_dir", folder, "--do_predict", "--pred_file", lines).code == 0
    whole = run_command("distil", *tagging.flags(tmp_path / "whole", teacher_model_dir=folder))
    assert_refused(whole, "was fine-tuned with other settings: vocabulary differ")
