"""Tiny tasks and checkpoints with their tokenizers, on which whole commands run; a way to call the commands."""

import contextlib
import json
import os
import random
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SPECIAL, WORDS
from tests.model_fixtures import tiny_config, write_checkpoint

PEOPLE = ("john", "mary")
PLACES = ("london", "paris", "rome")
PLAIN = ("the", "cat", "dog", "ran", "sat", "in", "on", "park", "and", "big", "running", "unbelievable", ".")
TEACHER_LAYERS, TEACHER_WIDTH, TEACHER_POSITIONS = 4, 16, 32
PIECES = len(SPECIAL) + len(WORDS)
TAGS = ["O", "B-PER", "B-LOC"]
CLASSES = ["animal", "town", "nothing"]


@pytest.fixture(scope="session", autouse=True)
def two_logical_cpus():
    """Lets `MirroredStrategy` run on two devices; that has to be said before TensorFlow is first used.

    Graphs are run as they are traced: to simplify one takes longer than the few steps for which a test needs it.
    """
    if "tensorflow" in sys.modules:  # collected tests need it
        import tensorflow as tf

        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
        )
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@dataclass
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def run_command(capfd):
    """Calls the command line in this process, as `main` does it; wrong flags end with argparse's code."""
    from xtremedistil import cli

    def run(verb: str, *arguments) -> Outcome:
        capfd.readouterr()
        try:
            code = cli.main([verb, *(str(argument) for argument in arguments)])
        except SystemExit as end:
            code = end.code
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def assert_refused(outcome: Outcome, *words: str) -> None:
    """Asserts that the outcome is one message on stderr with all of `words`."""
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    message = outcome.err[outcome.err.index("xtremedistil: ") :]
    assert message.count("xtremedistil: ") == 1
    assert outcome.out == ""
    missing = [word for word in words if word not in message]
    assert not missing, f"{missing} not in:\n{message}"


@pytest.fixture
def no_tensorflow(monkeypatch):
    """Fails the test if the command goes on to import TensorFlow."""

    from xtremedistil import cli

    def fail(verbose):
        raise AssertionError("TensorFlow was about to be imported")

    monkeypatch.setattr(cli, "import_tensorflow", fail)


@dataclass
class Material:
    """A task with a transfer file and a teacher; `flags` name them on the command line."""

    task: Path
    transfer: Path
    teacher: str
    kind_flags: tuple[str, ...] = ()
    settings: dict = field(default_factory=dict)

    def flags(self, model_dir, **changes) -> list[str]:
        """Flags of a distillation; a value of True stands alone, None leaves the flag out."""
        values = {
            "task": self.task,
            "model_dir": model_dir,
            "seq_len": 12,
            "transfer_file": self.transfer,
            "teacher_model_dir": model_dir,
            "pt_teacher": "TFBertModel",
            "pt_teacher_checkpoint": self.teacher,
            "hidden_size": TEACHER_WIDTH,
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "ft_epochs": 1,
            "distil_epochs": 1,
            "learning_rate": 0.01,
            "teacher_learning_rate": 0.01,
            "student_distil_batch_size": 8,
            "student_ft_batch_size": 8,
            "teacher_batch_size": 8,
            "seed": 5,
            **self.settings,
            **changes,
        }
        flags = [str(part) for name, value in values.items() for part in _flag(name, value)]
        return [*flags, *self.kind_flags]


def _flag(name: str, value) -> list:
    if value is None:
        return []
    return [f"--{name}"] if value is True else [f"--{name}", value]


def tag_of(word: str) -> str:
    return "B-PER" if word in PEOPLE else "B-LOC" if word in PLACES else "O"


def sentences(count: int, seed: int) -> list[list[str]]:
    generator = random.Random(seed)
    return [generator.choices(PEOPLE + PLACES + PLAIN, k=generator.randint(3, 7)) for _ in range(count)]


def write_rows(path: Path, rows) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


def write_tagging_task(folder: Path) -> None:
    folder.mkdir()
    for name, count, seed in (("train", 24, 1), ("dev", 10, 2), ("test", 10, 3)):
        rows = [(" ".join(words), " ".join(map(tag_of, words))) for words in sentences(count, seed)]
        write_rows(folder / f"{name}.tsv", rows)
    write_rows(folder / "labels.tsv", [("O",), ("B-PER",), ("B-LOC",)])


def write_text_task(folder: Path, labels=("animal", "town"), pairs: bool = False) -> None:
    """Is a cat or dog in the text (in both texts of a pair), or not?"""
    folder.mkdir()
    for name, count, seed in (("train", 24, 1), ("dev", 10, 2), ("test", 10, 3)):
        rows = []
        for words in sentences(count, seed):
            label = labels[not {"cat", "dog"} & set(words)]
            texts = (" ".join(words), " ".join(reversed(words))) if pairs else (" ".join(words),)
            rows.append((*texts, label))
        write_rows(folder / f"{name}.tsv", [(*rows[0][:-1], labels[0]), (*rows[1][:-1], labels[1]), *rows[2:]])


def write_bert(folder: Path, tokenizer: str, layers: int, width: int, vocabulary: int = PIECES) -> str:
    """A random Bert of the given size with the tokenizer's files."""
    config = {
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 2 * width,
        "max_position_embeddings": TEACHER_POSITIONS,
    }
    return write_random_checkpoint(folder, tokenizer, config, "TFBertModel")


def write_random_checkpoint(folder: Path, tokenizer: str, config: dict, class_name: str) -> str:
    import tf_keras

    import xtremedistil  # noqa: F401 - chooses legacy Keras
    from tests.model_fixtures import pytorch_state
    from xtremedistil.models.architectures.families import FAMILIES
    from xtremedistil.models.checkpoints.pretrained import new_encoder_from_config

    tf_keras.utils.set_random_seed(11)
    encoder = new_encoder_from_config(config, FAMILIES[class_name], name="tf_model")
    shutil.copytree(tokenizer, folder)
    return write_checkpoint(folder, config, pytorch_state(encoder))


def write_student(
    folder: Path, class_name: str, kind: str, tokenizer_folder: str, labels=None, pairs: bool = False, pseudo=()
) -> Path:
    """The folder of a random student, 12 wide below a teacher of 16, whose every weight matters."""
    import tf_keras

    import xtremedistil  # noqa: F401 - chooses legacy Keras
    from xtremedistil.models.architectures.families import FAMILIES
    from xtremedistil.models.checkpoints.h5_weights import save_weights
    from xtremedistil.models.checkpoints.pretrained import new_encoder_from_config
    from xtremedistil.models.student import ENCODER_NAME, build_student
    from xtremedistil.storage.files import write_json
    from xtremedistil.storage.model_folder import CONFIG, STUDENT_WEIGHTS
    from xtremedistil.tokenization.tokenizer import Tokenizer

    folder.mkdir()
    tokenizer = Tokenizer.load(tokenizer_folder)
    tokenizer.save(folder)
    tags = kind == "token_classification"
    labels = labels or (TAGS if tags else CLASSES)
    config = tiny_config(class_name) | {"vocab_size": tokenizer.size, "pad_token_id": tokenizer.pad_id}
    tf_keras.utils.set_random_seed(3)
    encoder = new_encoder_from_config(config, FAMILIES[class_name], name=ENCODER_NAME)
    student = build_student(
        encoder,
        FAMILIES[class_name],
        by_position=tags,
        num_labels=len(labels) + len(pseudo),
        teacher_hidden_size=TEACHER_WIDTH,
    )
    generator = np.random.default_rng(3)
    for variable in student.model.weights:
        variable.assign_add(0.3 * generator.standard_normal(variable.shape).astype(np.float32))
    save_weights(str(folder / STUDENT_WEIGHTS), student.parts)
    saved = {
        "task": "/somewhere/tasks/zoo",
        "do_NER": tags,
        "do_pairwise": pairs,
        "seq_len": 24,
        "label_list": [*labels, *pseudo],
        "pseudo_labels": list(pseudo),
        "teacher_hidden_size": TEACHER_WIDTH,
        "pt_teacher_checkpoint": "/somewhere/checkpoints/big-model",
        "student_config": encoder.config.to_dict(),
    }
    write_json(str(folder / CONFIG), saved)
    return folder


@pytest.fixture(scope="session")
def tagging_files(tmp_path_factory) -> tuple[Path, Path]:
    """Task folder and transfer file."""
    root = tmp_path_factory.mktemp("tagging")
    write_tagging_task(root / "task")
    write_rows(root / "transfer.txt", [(" ".join(words),) for words in sentences(30, 4)])
    return root / "task", root / "transfer.txt"


@pytest.fixture(scope="session")
def tagging(tagging_files, word_piece_folder, tmp_path_factory) -> Material:
    """Tagging with a teacher of 4 layers, 16 wide."""
    folder = tmp_path_factory.mktemp("teacher") / "bert"
    teacher = write_bert(folder, word_piece_folder, TEACHER_LAYERS, TEACHER_WIDTH)
    return Material(*tagging_files, teacher, ("--do_NER",))


def write_hollow_bert(folder: Path, tokenizer: str, **changes) -> str:
    """The same without weights: enough for everything that is checked before a model is built."""
    config = {
        "model_type": "bert",
        "vocab_size": PIECES,
        "hidden_size": TEACHER_WIDTH,
        "num_hidden_layers": TEACHER_LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": TEACHER_POSITIONS,
    }
    shutil.copytree(tokenizer, folder)
    (folder / "config.json").write_text(json.dumps(config | changes))
    return str(folder)


NARROW = {"hidden_size": 8, "num_hidden_layers": 2, "distil_attention": True, "freeze_word_embedding": True}


@contextlib.contextmanager
def ops_one_by_one():
    """Within it no graph is traced; gives what wraps a function whose code is run as it is written."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield tf.autograph.experimental.do_not_convert
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture
def eagerly(request):
    """Runs the test's ops one by one: for a few steps of a tiny model that takes less time than tracing graphs."""
    with ops_one_by_one() as without_graphs:
        request.node.obj = without_graphs(request.node.obj)
        yield


@pytest.fixture
def interrupt_at(monkeypatch):
    """A block within which a run is interrupted when it would put a file of the name given in place."""
    replace = os.replace

    @contextlib.contextmanager
    def within(name: str):
        def interrupted(source, target, **arguments):
            if str(target).endswith(name):
                raise KeyboardInterrupt
            return replace(source, target, **arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", interrupted)
            yield

    return within


def main(verb: str, *arguments) -> int:
    from xtremedistil import cli

    return cli.main([verb, *(str(argument) for argument in arguments)])


@pytest.fixture(scope="session")
def distilled(tagging, tmp_path_factory) -> Path:
    """Folder of a whole run with all embedding, attention and baseline flags; tests must not change it.

    Who compares bytes with it trains `eagerly` too: graphs round otherwise.
    """
    folder = tmp_path_factory.mktemp("distilled")
    with ops_one_by_one() as without_graphs:
        assert without_graphs(main)("distil", *main_flags(tagging, folder)) == 0
    return folder


def main_flags(tagging: Material, root: Path) -> list[str]:
    return tagging.flags(root / "student", teacher_model_dir=root / "teacher", baseline=True, **NARROW)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes, but for locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
