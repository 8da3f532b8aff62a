"""Records what twelve small runs write, and checks later that other code writes the same.

    python benchmarks/recorded_runs.py record --jobs 2    # writes benchmarks/recorded_runs.json
    python benchmarks/recorded_runs.py check --jobs 2     # runs again, compares; exit code 1 if anything differs
    python benchmarks/recorded_runs.py check --only text-joint pairs-best

To record what other code writes than that of this folder, name its folder in PYTHONPATH.

The runs know the package by its commands and by `xtremedistil.__all__`, so that its modules may move. Hashes hold for
one kind of CPU, one number of cores and one set of versions: they stand in the JSON file, and `check` says where they
differ. The runs have relative paths, so that the folder they are made in (`--folder`) does not matter.

Where a renaming is meant, `RENAMED` (keys of JSON files) and `RENAMED_FILES` say so: the file that was recorded stays.
What is not compared byte for byte, and why, is in `BY_CONTENT` and in the JSON file.
"""

import argparse
import functools
import hashlib
import importlib.metadata
import importlib.util
import itertools
import json
import os
import platform
import random
import runpy
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

RECORDED = Path(__file__).with_suffix(".json")
FIXED = {
    "PYTHONHASHSEED": "0",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "OMP_NUM_THREADS": "2",
    "HF_HUB_OFFLINE": "1",
}
THREADS = 2  # of TensorFlow: sums are cut into as many parts
PACKAGES = "tensorflow tensorflow-text tf_keras numpy transformers tokenizers safetensors h5py".split()
PACKAGES += "onnx onnxruntime tf2onnx".split()
MATERIAL = Path("../../material")  # seen from the folder of a run

# Material: made-up words, tasks, tokenizer, checkpoints

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ENDINGS = ("", "", "", "s", "ing")
STEM = 4  # letters of a word without its ending
SIZES = {"train": 40, "dev": 12, "test": 12}
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
CLASSES = ["animal", "neither", "tool"]


@functools.cache
def stems() -> list[str]:
    """Forty words of four letters."""
    syllables = [one + other for one in "bdfgklmnprst" for other in "aeiou"]
    pairs = list(itertools.product(syllables, repeat=2))
    return ["".join(pair) for pair in random.Random(7).sample(pairs, 40)]


@functools.cache
def meanings() -> dict[str, str]:
    """What some of the words are."""
    kinds = {"PER": stems()[:6], "LOC": stems()[6:12], "animal": stems()[12:20], "tool": stems()[20:28]}
    return {word: kind for kind, words in kinds.items() for word in words}


def sentences(count: int, seed: int) -> list[list[str]]:
    """Words drawn one by one."""
    chance = random.Random(seed)
    return [
        [chance.choice(stems()) + chance.choice(ENDINGS) for _ in range(chance.randint(3, 8))] for _ in range(count)
    ]


def tags(words: Iterable[str]) -> list[str]:
    """B- and, behind a name of the same kind, I-."""
    kinds = [meanings().get(word[:STEM]) for word in words]
    names = [kind if kind in ("PER", "LOC") else None for kind in kinds]
    return [
        "O" if name is None else f"{'I' if name == before else 'B'}-{name}"
        for name, before in zip(names, [None, *names], strict=False)
    ]


def topic(words: Iterable[str]) -> str:
    """The class of a text: by the first of its words that is an animal or a tool."""
    kinds = [meanings().get(word[:STEM]) for word in words]
    return next((kind for kind in kinds if kind in ("animal", "tool")), "neither")


def tagging_rows(count: int, seed: int) -> list[tuple[str, str]]:
    return [(" ".join(words), " ".join(tags(words))) for words in sentences(count, seed)]


def text_rows(count: int, seed: int) -> list[tuple[str, str]]:
    return [(" ".join(words), topic(words)) for words in sentences(count, seed)]


def pair_rows(count: int, seed: int) -> list[tuple[str, str, str]]:
    """The same words in another order, or other words?"""
    rows = []
    for number, (one, other) in enumerate(zip(sentences(count, seed), sentences(count, seed + 1000), strict=True)):
        second, label = (other, "other") if number % 2 else (one[::-1], "same")
        rows.append((" ".join(one), " ".join(second), label))
    return rows


def write_rows(path: Path, rows: Iterable[Iterable[str]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


def write_task(folder: Path, rows: Callable[[int, int], list], transfer: int) -> None:
    """A task with a transfer file; the labels behind its lines are not read."""
    folder.mkdir()
    for seed, (name, count) in enumerate(SIZES.items(), start=1):
        write_rows(folder / f"{name}.tsv", rows(count, seed))
    write_rows(folder / "transfer.txt", rows(transfer, 4))


@functools.cache
def pieces() -> list[str]:
    """Of WordPiece: one for each word, each ending and each letter."""
    endings = [f"##{ending}" for ending in dict.fromkeys(ENDINGS) if ending]
    return list(dict.fromkeys([*SPECIAL, *stems(), *endings, *LETTERS, *(f"##{letter}" for letter in LETTERS)]))


def write_tokenizer(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(pieces()) + "\n", encoding="utf-8")
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def new_model(name: str, seed: int, *, layers: int, width: int, **changes):
    """A model of the class `name` of transformers; its random weights are large enough to matter."""
    import tf_keras
    import transformers

    tf_keras.utils.set_random_seed(seed)
    kind = getattr(transformers, name)
    sizes = {"vocab_size": len(pieces()), "hidden_size": width, "num_hidden_layers": layers}
    sizes |= {"intermediate_size": 2 * width, "num_attention_heads": 4, "max_position_embeddings": 32}
    model = kind(kind.config_class(**sizes | {"initializer_range": 0.05} | changes))
    model.build_in_name_scope()
    return model


def write_checkpoint(folder: Path, name: str, seed: int, **sizes) -> None:
    write_tokenizer(folder)
    new_model(name, seed, **sizes).save_pretrained(folder, safe_serialization=False)


def make_material() -> None:
    """Everything that runs read, in the folder where this process is."""
    here = Path(".")
    write_task(here / "tagging", tagging_rows, transfer=48)
    write_rows(here / "tagging/labels.tsv", [(tag,) for tag in TAGS])
    write_task(here / "text", text_rows, transfer=40)
    write_task(here / "pairs", pair_rows, transfer=40)
    lines = [" ".join(words) for words in sentences(10, 5)]
    write_rows(here / "lines.txt", [(line,) for line in [*lines[:5], "", *lines[5:], f"{lines[0]} zyx \u00e9\u4e2d !"]])
    write_rows(here / "corpus.txt", [(" ".join(words),) for words in sentences(160, 6)])
    os.utime(here / "corpus.txt", (1e9, 1e9))  # a tokenised corpus is known by the time of its files, too
    write_checkpoint(here / "bert", "TFBertModel", 11, layers=4, width=24)
    write_checkpoint(here / "bert-words", "TFBertForMaskedLM", 12, layers=4, width=24)
    write_checkpoint(here / "electra", "TFElectraModel", 13, layers=4, width=24, embedding_size=16)
    write_checkpoint(here / "small", "TFBertModel", 14, layers=2, width=12)


# Commands

SCRIPTS = {
    "distil": "run_xtreme_distil.py",
    "pretrain": "run_xtreme_pretrain.py",
    "predict": "run_xtreme_distil_predict.py",
    "predict-onnx": "run_xtreme_distil_predict_onnx.py",
    "ft": "run_xtreme_distil_ft.py",
    "model-ft": "run_model_ft.py",
}
KINDS = {"tagging": ["do_NER"], "text": [], "pairs": ["do_pairwise"]}
BATCHES = {"student_distil_batch_size": 8, "student_ft_batch_size": 8, "teacher_batch_size": 8}
BUDGET = {"seq_len": 16, "teacher_epochs": 8, "distil_epochs": 3, "ft_epochs": 2, "seed": 5, **BATCHES}
STUDENT = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
RATES = {"learning_rate": 0.01, "teacher_learning_rate": 0.005}
ALL_FORMS = ["onnx", "int8", "saved_model", "huggingface"]


def root() -> Path:
    """The folder of the code that is run."""
    return Path(importlib.util.find_spec("xtremedistil").origin).parents[1]


def import_everything() -> None:
    """Before the first fork, for all of them; nothing is used yet.

    Raises:
        RuntimeError: TensorFlow has been used at import: a fork would hang.
    """
    import xtremedistil

    for name in xtremedistil.__all__:
        getattr(xtremedistil, name)
    import tensorflow as tf
    import transformers

    for name in ("TFBertModel", "TFElectraModel"):
        getattr(transformers, name)
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)


def forked(work: Callable[[], object], printed: IO) -> int:
    """Starts `work` in a fork of this process; what it prints goes into an open file.

    Runs and commands have a process each, as names of layers count up in one; a fork need not import TensorFlow again.
    """
    sys.stdout.flush()
    if process := os.fork():
        return process
    code = 1
    try:
        os.dup2(printed.fileno(), 1)
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        print(end.code if isinstance(end.code, str) else "", end="")
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def enter(verb: str, arguments: list[str]) -> None:
    """Does what `python run_xtreme_distil.py ...`, or `python -m xtremedistil.cli ...`, would do."""
    script = SCRIPTS.get(verb)
    sys.argv = [script, *arguments] if script else ["xtremedistil", verb, *arguments]
    if script:
        runpy.run_path(str(root() / script), run_name="__main__")
    else:
        runpy.run_module("xtremedistil.cli", run_name="__main__", alter_sys=True)


def command(verb: str, *switches: str, **flags) -> str:
    """Runs a command in a process of its own; what it prints. A flag that is None is left out."""
    given = {name: value if isinstance(value, list) else [value] for name, value in flags.items() if value is not None}
    arguments = [f"--{name}" for name in switches]
    arguments += [str(part) for name, values in given.items() for part in (f"--{name}", *values)]
    print(f"{verb} {' '.join(arguments)}", flush=True)
    with tempfile.TemporaryFile("w+") as printed:
        process = forked(lambda: enter(verb, arguments), printed)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        printed.seek(0)
        text = printed.read()
    print(text, flush=True)
    if code:
        raise SystemExit(f"{verb} ended with exit code {code}.")
    return text


def distil(task: str, *switches: str, **changes) -> str:
    files = {"task": MATERIAL / task, "transfer_file": MATERIAL / task / "transfer.txt"}
    folders = {"model_dir": "student", "teacher_model_dir": "teacher", "pt_teacher_checkpoint": MATERIAL / "bert"}
    return command("distil", *KINDS[task], *switches, **files | folders | BUDGET | STUDENT | RATES | changes)


def predict(verb: str, folder: str, *switches: str, **flags) -> None:
    flags = {"model_dir": "student", "pred_file": MATERIAL / "lines.txt", "output_dir": folder} | flags
    command(verb, "do_predict", *switches, **flags)


def pretrain(folder: str, *switches: str, **flags) -> None:
    budget = {"seq_len": 16, "batch_size": 8, "steps": 12, "eval_steps": 4, "learning_rate": 0.01, "seed": 5}
    files = {"corpus": MATERIAL / "corpus.txt", "model_dir": folder}
    command("pretrain", *switches, **files | budget | flags)


# Rows and answers of runs from Python


def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MATERIAL / "bert")


def encoded_texts(count: int, seed: int) -> dict[str, list]:
    texts, labels = zip(*text_rows(count, seed), strict=True)
    return dict(tokenizer()(list(texts))) | {"labels": [CLASSES.index(label) for label in labels]}


def encoded_tags(count: int, seed: int) -> dict[str, list]:
    """The first piece of a word has its tag, the others have none."""
    found = sentences(count, seed)
    rows = tokenizer()(found, is_split_into_words=True)
    labels = []
    for number, words in enumerate(found):
        places = rows.word_ids(number)
        first = [place is not None and place != before for place, before in zip(places, [None, *places], strict=False)]
        numbers = [TAGS.index(tag) for tag in tags(words)]
        labels.append([numbers[place] if begins else -100 for place, begins in zip(places, first, strict=True)])
    return dict(rows) | {"labels": labels}


def save_answers(name: str, value) -> None:
    Path(name).write_text(json.dumps(value, default=lambda array: array.tolist()), encoding="utf-8")


# Runs


def tagging_original() -> None:
    """Tagging by the progressive stages with attention maps and a baseline; all exports; predictions of all kinds."""
    distil("tagging", "distil_attention", "distil_multi_hidden_states", "baseline", "compress_word_embedding")
    command("export", model_dir="student", to=ALL_FORMS)
    predict("predict", "keras", "do_eval")
    predict("predict", "keras-json", output_format="json", weights="baseline.h5")
    predict("predict-onnx", "onnx", "do_eval", output_format="json", batch_size=4)


def text_joint() -> None:
    """Texts by the joint stage with soft labels, gold labels and shifted probabilities; then further training."""
    flags = {"recipe": "joint", "loss": "soft_label_kl", "temperature": 2, "hard_label_weight": 0.5}
    distil("text", "probability_shift", "distil_multi_hidden_states", **flags, soft_label_weight=0.8)
    predict("predict", "student", "do_eval", output_format="json")
    command("ft", model_dir="student", ft_epochs=2, batch_size=8, learning_rate=0.003, weight_decay=0.01, seed=5)
    predict("predict", "continued", weights="xtremedistil-ft.h5", output_format="json")


def pairs_best() -> None:
    """Pairs by the recipe that came out ahead, from an ELECTRA; all exports; predictions of the int8 graph."""
    flags = {"recipe": "best", "pt_teacher": "auto", "pt_teacher_checkpoint": MATERIAL / "electra"}
    distil("pairs", "compress_word_embedding", **flags, relation_heads=4)
    command("export", model_dir="student", to=ALL_FORMS)
    predict("predict-onnx", "int8", "do_eval", "quantize", pred_file=MATERIAL / "pairs/transfer.txt")


def tagging_legacy() -> None:
    """The original's choices together, in training and in prediction."""
    distil("tagging", "legacy", "distil_attention", "freeze_word_embedding", **dict.fromkeys(RATES))
    predict("predict", "pieces", "legacy", "do_eval")


def text_matches() -> None:
    """A student from a checkpoint, pairs of tensors that are named, several chunks, and weights of labels."""
    matches = [
        "feature=values,teacher=3,student=1,loss=relation_kl,relation_heads=4,weight=0.5",
        "feature=hidden_states,teacher=4,student=2,loss=hidden_cosine,projection=tanh,projection_learning_rate=0.02",
        "feature=attention_scores,teacher=1,student=0,loss=attention_mse,weight_schedule=linear_growth",
    ]
    own = dict.fromkeys(STUDENT) | {"pt_student_checkpoint": MATERIAL / "small", "match": matches}
    outputs = {"distil_chunk_size": 16, "targets_dir": "outputs", "targets_precision": "float32"}
    distil("text", **own, **outputs, class_weight="balanced", temperature_schedule="flsw:1,1", loss="soft_label_kl")
    predict("predict", "student", "do_eval", output_format="json")


def bilstm_best() -> None:
    """A BiLSTM by the recipe that is best for it, its exports, and its graph as the teacher of a transformer."""
    distil("tagging", "compress_word_embedding", student_kind="bilstm", lstm_units=10, recipe="best")
    command("export", model_dir="student", to=["onnx", "int8", "saved_model"])
    flags = {"teacher_onnx": "student/xtremedistil.onnx", "model_dir": "taught", "recipe": "best"}
    distil("tagging", "compress_word_embedding", **flags, teacher_learning_rate=None)


def text_augmented() -> None:
    """Frozen word embeddings, a transfer set with lines made of its own, and all layers by an even map."""
    added = {"augment": ["masked_lm", "short_disorder"], "augment_checkpoint": MATERIAL / "bert-words"}
    distil("text", "freeze_word_embedding", **added, augment_copies=2, layer_map="uniform", recipe="joint")
    command("export", model_dir="student", to=["onnx", "huggingface"])


def pretrain_minilmv2() -> None:
    """A general model by relations, with the pieces alone that the corpus has; a student of it on a task."""
    flags = {"recipe": "minilmv2", "relation_heads": 4, "hidden_size": 16, "student_vocab": "corpus"}
    pretrain("small", "packed", pt_teacher_checkpoint=MATERIAL / "bert", **flags)
    weights = Path("small/checkpoint/model.safetensors")
    weights.write_bytes(ordered_safetensors(weights))  # the settings of what follows hold its sha256
    own = dict.fromkeys(STUDENT) | {"pt_student_checkpoint": "small/checkpoint"}
    distil("text", **own, recipe="joint", distil_epochs=1)


def pretrain_distilbert() -> None:
    """General models by soft labels and masked words: out of the teacher's layers; of a teacher without a head."""
    flags = {"init_layers": "uniform", "pt_teacher_checkpoint": MATERIAL / "bert-words", "corpus_dir": "corpus"}
    pretrain("with-head", "predict_all", "whole_words", **flags, recipe="distilbert", mlm_share=0.2, word_weight=1.5)
    flags = {"soft_label_weight": 1, "pt_teacher_checkpoint": MATERIAL / "bert", "corpus_dir": "corpus"}
    pretrain("without-head", **flags, recipe="minilm", teacher_head_steps=6)


def two_teachers() -> None:
    """`Distiller` with two teachers, in two stages; its student in all folders, and what the deployed one says."""
    from xtremedistil import Distiller, Match, SoftLabels, Terms, export_onnx, load_predictor, load_student

    names = {"num_labels": 3, "id2label": dict(enumerate(CLASSES)), "label2id": {c: i for i, c in enumerate(CLASSES)}}
    teachers = [
        new_model(f"TF{family}ForSequenceClassification", seed, layers=4, width=24, **names)
        for family, seed in (("Bert", 21), ("Electra", 22))
    ]
    student = new_model("TFBertForSequenceClassification", 23, layers=2, width=12, **names)
    values = Match("values", 3, 1, "relation_kl", options={"relation_heads": 4}, teacher_number=1)
    terms = {"matches": (Match("hidden_states", 4, 2), values), "hard_label_weight": 0.5, "teacher_weights": (2, 1)}
    distiller = Distiller(
        teachers, student, Terms(SoftLabels("soft_label_kl", temperature=2.0), combine="probabilities", **terms)
    )
    budget = {"batch_size": 8, "learning_rate": 0.003, "folder": "fit"}
    rows = encoded_texts(40, 1), encoded_texts(12, 2)
    stages = [distiller.fit(*rows, epochs=2, **budget).epochs]
    stages.append(distiller.fit(*rows, epochs=1, **budget, teachers=[0], trained=["bert/encoder/layer_._1"]).epochs)
    distiller.save("saved")
    distiller.deploy("deployed", tokenizer(), seq_len=16, task=str(MATERIAL / "text"))
    export_onnx("deployed")
    texts = [" ".join(words) for words in sentences(8, 8)]
    said = [load_predictor("deployed", runtime=runtime).probabilities(texts) for runtime in ("keras", "onnx")]
    rows_of_texts = dict(tokenizer()(texts, padding=True, return_tensors="np"))
    logits = load_student("deployed").predict(rows_of_texts, verbose=0)["logits"]
    save_answers("answers.json", [stages, said, logits, distiller.predict(rows[1])])


def shared_encoder() -> None:
    """`fit_tasks`: tagging and texts with one encoder, the one taught by a Keras model with an adaptor."""
    from xtremedistil import AdaptedModel, Distiller, Terms, fit_tasks, share_encoder

    tagger, classifier = "TFBertForTokenClassification", "TFBertForSequenceClassification"
    sizes = {"layers": 2, "width": 12, "attention_probs_dropout_prob": 0.0}
    students = new_model(tagger, 31, **sizes, num_labels=5), new_model(classifier, 32, **sizes, num_labels=3)
    share_encoder(*students)
    big = {"layers": 4, "width": 24}
    adapted = AdaptedModel(new_model(tagger, 33, **big, num_labels=5), lambda _, found: {"logits": found.logits})
    distillers = {
        "tags": Distiller(adapted, students[0], Terms(hard_label_weight=1.0)),
        "texts": Distiller(new_model(classifier, 34, **big, num_labels=3), students[1], Terms(matches="last")),
    }
    train = {"tags": encoded_tags(40, 1), "texts": encoded_texts(32, 1)}
    dev = {"tags": encoded_tags(12, 2), "texts": encoded_texts(12, 2)}
    history = fit_tasks(distillers, train, dev, tau=0.5, epochs=2, batch_size=8, learning_rate=0.003)
    for name, distiller in distillers.items():
        distiller.save(name)
    save_answers("answers.json", [history.epochs, *(one.predict(dev[name]) for name, one in distillers.items())])


def without_teacher_here() -> None:
    """Logits that a teacher gave elsewhere; a student reused on another task; a model tuned alone; a run's plan."""
    labels = sorted({label for _, label in text_rows(40, 4)})
    logits = np.random.default_rng(9).normal(size=(40, len(labels))).astype(np.float32)
    np.savez("logits.npz", row_ids=np.arange(40), logits=logits, labels=np.array(labels))
    distil("text", teacher_targets="logits.npz", teacher_learning_rate=None, baseline=None)
    budget = BATCHES | {"distil_epochs": 1, "ft_epochs": 1, "target_epochs": 1, "target_batch_size": 8, "seq_len": 16}
    tasks = {"source_task": MATERIAL / "tagging", "target_task": MATERIAL / "text", "target_labels": 12, "seed": 5}
    files = {"model_dir": "transfer", "pt_teacher_checkpoint": MATERIAL / "bert"}
    command("transfer", "source_do_NER", "baseline", **tasks, **files, **budget, **STUDENT)
    flags = {"model_dir": "tuned", "pt_model_checkpoint": MATERIAL / "small", "ft_epochs": 2, "batch_size": 8}
    command("model-ft", "do_NER", task=MATERIAL / "tagging", seq_len=16, seed=5, **flags)
    plan = distil("tagging", "dry_run", "distil_attention", model_dir="planned")
    Path("plan.txt").write_text(plan, encoding="utf-8")


RUNS = {
    run.__name__.replace("_", "-"): run
    for run in (
        tagging_original,
        text_joint,
        pairs_best,
        tagging_legacy,
        text_matches,
        bilstm_best,
        text_augmented,
        pretrain_minilmv2,
        pretrain_distilbert,
        two_teachers,
        shared_encoder,
        without_teacher_here,
    )
}


# What is compared

RENAMED = {  # keys of JSON files, old: new; both spellings are compared as the new one
    "loss": "soft_label_loss",
    "mlm_share": "mlm_probability",
    "predict_all": "soft_labels_on_all_tokens",
    "steps": "max_steps",
    "targets": "teacher_outputs",
    "targets_dir": "teacher_outputs_dir",
    "targets_precision": "teacher_outputs_precision",
    "teacher_targets": "teacher_logits",
    "whole_words": "whole_word_mask",
    "word_weight": "mlm_weight",
}
RENAMED_FILES: dict[str, str] = {}  # names of files and folders, old: new
DROPPED = ("seconds", "milliseconds", "pieces_per_second", "bytes", "sealed", "transformers_version")  # keys
# What is not compared byte for byte, and why: found by running everything twice, in folders with other names.
BY_CONTENT = {
    "*.json": f"keys and values, without {', '.join(DROPPED)}: work takes another time in each run, records are sealed "
    "with their seconds, sizes and versions are the machine's; flags have their new names",
    "*.safetensors": "bytes, with the entries of the metadata in order: the library writes them in any, the same one "
    "in all forks of a process",
    "xtremedistil.onnx": "what is computed from what, constants, metadata: tf2onnx numbers and merges constants in the "
    "order of a set, which is another one in each process",
    "fingerprint.pb": "not at all: it has a random number",
    ".lock": "not at all: it is empty",
}
IGNORED = ("fingerprint.pb", ".lock")


def digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()


def digest_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """By name, whatever their order in the file."""
    parts = []
    for name, array in sorted(arrays.items()):
        content = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
        parts += [name.encode(), str(array.dtype).encode(), str(array.shape).encode(), content]
    return digest(*parts)


def comparable(value):
    """A value of a JSON file without what differs from run to run, its keys by their new names.

    Raises:
        ValueError: the old and the new name of a key stand side by side, and say different things.
    """
    if isinstance(value, list):
        return [comparable(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept: dict = {}
    for key, one in value.items():
        name, one = RENAMED.get(key, key), comparable(one)
        if name in kept and kept[name] != one:
            raise ValueError(f"{name} is {kept[name]!r} and {one!r}.")
        kept[name] = one
    return {key: one for key, one in kept.items() if key not in DROPPED}


def digest_of_json(path: Path) -> str:
    value = json.loads(path.read_text(encoding="utf-8"))
    return digest(json.dumps(comparable(value), sort_keys=True).encode())


def ordered_safetensors(path: Path) -> bytes:
    """A file's bytes with the entries of its metadata in order."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    return data[:8] + json.dumps(header, separators=(",", ":")).encode().ljust(end - 8) + data[end:]


def digest_of_safetensors(path: Path) -> str:
    return digest(ordered_safetensors(path))


def digest_of_onnx(path: Path) -> str:
    """Of what is computed, and of the metadata: each tensor is known by what makes it, not by its name."""
    import onnx

    model = onnx.load(path)
    known = {"": b""}
    for tensor in model.graph.initializer:
        known[tensor.name] = digest_of_arrays({"": onnx.numpy_helper.to_array(tensor)}).encode()
    for value in model.graph.input:
        known[value.name] = value.SerializeToString(deterministic=True)
    for node in model.graph.node:
        options = sorted(option.SerializeToString(deterministic=True) for option in node.attribute)
        made = digest(node.op_type.encode(), node.domain.encode(), *options, *(known[name] for name in node.input))
        known |= {name: f"{made} {number}".encode() for number, name in enumerate(node.output)}
    notes = [entry.SerializeToString(deterministic=True) for entry in (*model.opset_import, *model.metadata_props)]
    return digest(*notes, *(part for out in model.graph.output for part in (out.name.encode(), known[out.name])))


READERS = {  # by the name of a file, or its ending
    "xtremedistil.onnx": digest_of_onnx,
    ".json": digest_of_json,
    ".safetensors": digest_of_safetensors,
}


def digest_of_file(path: Path) -> str:
    read = READERS.get(path.name) or READERS.get(path.suffix)
    return read(path) if read else digest(path.read_bytes())


def digests(folder: Path) -> dict[str, str]:
    """Of all files below a folder, by their paths in it."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = "/".join(RENAMED_FILES.get(part, part) for part in path.relative_to(folder).parts)
        if path.name == "saved_model.pb":
            found |= {f"{name}: {what}": one for what, one in digests_of_saved_model(path.parent).items()}
        if path.name not in IGNORED:
            found[name] = digest_of_file(path)
    return found


def digests_of_saved_model(folder: Path) -> dict[str, str]:
    """Of its variables, without the name of the attribute that holds them, and of what its signatures answer.

    The functions in the file itself are numbered by all that its process has traced before: where its bytes alone
    differ, another order of work may be all there is to it.
    """
    import tensorflow as tf
    import tensorflow_text  # noqa: F401 - brings the tokenizer's operations

    reader = tf.train.load_checkpoint(str(folder / "variables/variables"))
    names = [name for name in reader.get_variable_to_shape_map() if name.endswith("VARIABLE_VALUE")]
    found = {"variables": digest_of_arrays({name.partition("/")[2]: reader.get_tensor(name) for name in names})}
    texts = [" ".join(words) for words in sentences(6, 9)]
    given = {"texts": texts, "text_pairs": texts[::-1]}
    given |= {name: np.array(value, np.int32) for name, value in tokenizer()(texts, padding=True).items()}
    for name, signature in tf.saved_model.load(str(folder)).signatures.items():
        wanted = signature.structured_input_signature[1]
        answers = signature(**{key: tf.constant(given[key]) for key in wanted})
        found[name] = digest_of_arrays({key: answer.numpy() for key, answer in answers.items()})
    return found


# Making the runs


def processes(work: Mapping[str, Callable[[], object]], logs: Path, jobs: int) -> Iterator[tuple[str, bool, str]]:
    """Does all work, so much at a time; yields the name of each, whether it went well, and what it took."""
    waiting, running = list(work), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop(0)
            with open(logs / f"{name}.txt", "w", encoding="utf-8") as log:
                running[forked(work[name], log)] = name, time.monotonic()
        process, status, used = os.wait4(-1, 0)
        name, started = running.pop(process)
        seconds, cpu = time.monotonic() - started, used.ru_utime + used.ru_stime
        yield name, status == 0, f"{seconds:.0f} s, {cpu:.0f} s of a core"


def make(work: Callable[[], None], folder: Path, found: Path) -> None:
    """Does `work` in a new folder, and writes the digests of what is there then."""
    os.dup2(1, 2)
    folder.mkdir(parents=True)
    os.chdir(folder)
    work()
    found.write_text(json.dumps(digests(Path("."))), encoding="utf-8")


def made(names: list[str], folder: Path, jobs: int) -> Iterator[tuple[str, dict[str, str] | None, str]]:
    """Makes the material, then runs; yields the digests of each, and what it took."""
    (folder / "logs").mkdir(parents=True)
    import_everything()
    work = {name: functools.partial(make, RUNS[name], folder / "runs" / name) for name in names}
    for some in ({"material": functools.partial(make, make_material, folder / "material")}, work):
        files = {name: folder / "logs" / f"{name}.json" for name in some}
        some = {name: functools.partial(one, files[name]) for name, one in some.items()}
        for name, well, took in processes(some, folder / "logs", jobs):
            yield name, json.loads(files[name].read_text(encoding="utf-8")) if well else None, took


# Record and check


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def surroundings() -> dict[str, str | int]:
    """What hashes hold for."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def commit() -> str:
    """Of the code that is run."""
    line = ["git", "-C", str(root()), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return subprocess.run(line, capture_output=True, text=True).stdout.strip() or "unknown"


def read_recorded() -> dict:
    return json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.is_file() else {"runs": {}}


def record(names: list[str], folder: Path, jobs: int) -> int:
    """Writes the file, unless a run fails; runs that are not named stay in it, if they are of the same code."""
    head = {"commit": commit(), "made_on": surroundings(), "not_compared_byte_for_byte": BY_CONTENT}
    before, code = read_recorded(), 0
    runs = before["runs"] if {**before, **head} == before else {}
    for name, found, took in made(names, folder, jobs):
        code = code or int(found is None)
        runs[name] = found
        print(line(name, "failed" if found is None else f"{len(found)} files", took, folder), flush=True)
    if not code:
        ordered = {name: runs[name] for name in ("material", *RUNS) if name in runs}
        RECORDED.write_text(json.dumps(head | {"runs": ordered}, indent=1) + "\n", encoding="utf-8")
    return code


def line(name: str, outcome: str, took: str, folder: Path) -> str:
    """What is said of a run; of one that failed, the end of what it printed, too."""
    end = (folder / "logs" / f"{name}.txt").read_text(encoding="utf-8")[-3000:] if outcome == "failed" else ""
    return "\n".join([f"{name:<22} {outcome:<10} {took}", *end.splitlines()])


def check(names: list[str], folder: Path, jobs: int) -> int:
    recorded, now = read_recorded(), surroundings()
    for key, value in recorded.get("made_on", {}).items():
        if now.get(key) != value:
            print(f"{key} is {now.get(key)}; recorded was {value}, for which alone the hashes hold.")
    code = 0
    for name, found, took in made(names, folder, jobs):
        lines = [] if found is None else differences(recorded["runs"].get(name, {}), found)
        outcome = "failed" if found is None else "differs" if lines else "same"
        print("\n".join([line(name, outcome, took, folder), *lines]), flush=True)
        code = code or int(outcome != "same")
    return code


def differences(recorded: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    lines = [f"    missing: {name}" for name in recorded if name not in found]
    lines += [f"    new: {name}" for name in found if name not in recorded]
    return lines + [f"    differs: {name}" for name in recorded if found.get(name, recorded[name]) != recorded[name]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("record", "check"))
    parser.add_argument("--only", nargs="+", default=list(RUNS), choices=list(RUNS), metavar="NAME")
    parser.add_argument("--folder", type=Path, help="new folder in which everything stays; by default nothing does")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    values = parser.parse_args()
    print(f"the code of {commit()} in {root()}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (values.folder or Path(temporary)).resolve()
        return {"record": record, "check": check}[values.action](values.only, folder, values.jobs)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in FIXED.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | FIXED)
    sys.exit(main())
