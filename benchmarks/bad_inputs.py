"""Wrong inputs, generated from a seed: how many end in another way than with a sentence for the person who made them?

    .venv/bin/python benchmarks/bad_inputs.py
    .venv/bin/python benchmarks/bad_inputs.py --seed 8 --cases 3000

Each command meets wrong values of its flags and damaged files through `cli.main`, each entry point of Python wrong
arguments, all in one process. A command has to end with exit code 2 and a message, a function with an InputError or a
ValueError that this package raises itself; a traceback, a success and an error out of a library are counted as faults.
The material is that of `recorded_runs.py`; one small distillation makes the model folder that is damaged.
"""

import argparse
import contextlib
import dataclasses
import io
import os
import random
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from recorded_runs import make_material

import xtremedistil
from xtremedistil import cli

PACKAGE = str(Path(xtremedistil.__file__).parent)
SIZES = {"seq_len": 16, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
EPOCHS = {"teacher_epochs": 1, "distil_epochs": 1, "ft_epochs": 1, "student_distil_batch_size": 8}
# Flags with which a command would do its work, in the folder of the material.
SOUND = {
    "distil": {
        "task": "text",
        "transfer_file": "text/transfer.txt",
        "model_dir": "m",
        "teacher_model_dir": "m",
        "pt_teacher": "auto",
        "pt_teacher_checkpoint": "bert",
        **SIZES,
        **EPOCHS,
    },
    "pretrain": {"pt_teacher_checkpoint": "bert-words", "corpus": "corpus.txt", "model_dir": "p", "seq_len": 16},
    "predict": {"model_dir": "student", "pred_file": "lines.txt"},
    "predict-onnx": {"model_dir": "student", "pred_file": "lines.txt"},
    "export": {"model_dir": "student"},
    "ft": {"model_dir": "student"},
    "model-ft": {"task": "text", "model_dir": "f", "seq_len": 16, "pt_model": "auto", "pt_model_checkpoint": "bert"},
    "task-transfer": {"source_task": "text", "target_task": "text", "model_dir": "t", "seq_len": 16},
}
WORDS = ("", "twelve", "1e999", "nan", "²", "1" * 5000, "--", "\ud800", "a\0b", "[1]", "-1", "9" * 30)
Case = tuple[str, Callable[[], object]]


def arguments(verb: str, **changes) -> list[str]:
    flags = SOUND[verb] | changes
    return [verb, *(part for name, value in flags.items() for part in (f"--{name}", str(value)))]


def command(line: list[str]) -> Callable[[], object]:
    return lambda: cli.main(line)


# Values of flags


def wrong_texts(entry: dataclasses.Field) -> list[str]:
    """Texts that the flag of a field cannot have."""
    kinds, data = str(entry.type), entry.metadata
    if entry.type is bool or "tuple" in kinds:
        return ["zzz"] if data["choices"] else []
    if data["choices"]:
        return [word for word in WORDS if word]
    if "int" not in kinds and "float" not in kinds:
        return ["", "a\0b", "\ud800"]
    wrong = ["", "twelve", "nan", "inf", "²", "9" * 30, "1" * 5000, "1e300"]
    if "float" in kinds:
        wrong += ["-inf", "1e999"]
    else:
        wrong += ["1.5", "0x10"]
    ends = {"least": -1, "above": 0, "most": 1, "below": 0}
    return wrong + [str(data[name] + step) for name, step in ends.items() if data[name] is not None]


def flag_cases(chance: random.Random) -> Iterator[Case]:
    for verb, (_, kind, _) in cli.VERBS.items():
        for entry in dataclasses.fields(kind):
            for text in wrong_texts(entry):
                yield f"{verb} --{entry.name} {text[:20]!r}", command(arguments(verb, **{entry.name: text}))
        for name in SOUND[verb]:
            for text in ("/nowhere/at/all", "/dev/null", "corpus.txt/x", "~~", "."):
                if name in ("task", "source_task", "target_task", "transfer_file", "corpus", "pred_file"):
                    yield f"{verb} --{name} {text}", command(arguments(verb, **{name: text}))
        for _ in range(20):
            junk = ["".join(chance.choices("-abcdef=_ 019\u00e9", k=chance.randint(1, 12))) for _ in range(3)]
            yield f"{verb} {junk}", command([*arguments(verb), "--" + junk[0].strip("- ") + "zz", *junk[1:]])


# Files


def damaged(path: Path, chance: random.Random) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Ways to damage a file, each with its name."""
    content = path.read_bytes()
    place = chance.randrange(len(content))
    flipped = content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]
    ways = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "flipped": flipped,
        "noise": chance.randbytes(200),
        "not UTF-8": b"\xff\xfe\x00bad",
    }
    if path.suffix == ".json":
        ways |= {"nested": b"[" * 100_000, "a list": b"[1, 2]", "a number": b"7", "no keys": b"{}"}
        ways |= {
            "null": b"null",
            "infinite": b'{"seq_len": 1e999}',
            "long": b'{"label_list": ["' + b"a" * 10**6 + b'"]}',
        }
    for name, bad in ways.items():
        yield name, lambda target, bad=bad: target.write_bytes(bad)
    yield "a folder", lambda target: (target.unlink(), target.mkdir())


def file_case(verb: str, source: Path, target: str, damage: Callable[[Path], None], **flags) -> Callable[[], object]:
    """Copies a folder, damages a file of it and runs a command on the copy."""

    def run() -> object:
        folder = Path(tempfile.mkdtemp(dir="."))
        copy = Path(shutil.copytree(source, folder / "copy"))
        damage(copy / target)
        try:
            return cli.main(arguments(verb, **{name: value.format(copy) for name, value in flags.items()}))
        finally:
            shutil.rmtree(folder)

    return run


STUDENT_FILES = {
    "predict": ("xtremedistil.h5", "xtremedistil-config.json", "tokenizer.json", "tokenizer_config.json"),
    "predict-onnx": ("xtremedistil_opt.onnx", "xtremedistil-config.json", "special_tokens_map.json"),
    "export": ("xtremedistil.h5", "xtremedistil-config.json"),
    "ft": ("xtremedistil.h5", "xtremedistil-config.json", "tokenizer.json"),
}


def file_cases(chance: random.Random) -> Iterator[Case]:
    for verb, names in STUDENT_FILES.items():
        for name in names:
            for how, damage in damaged(Path("student", name), chance):
                yield f"{verb}: {name} {how}", file_case(verb, Path("student"), name, damage, model_dir="{}")
    for name in ("train.tsv", "dev.tsv", "test.tsv"):
        for how, damage in damaged(Path("text", name), chance):
            if how not in ("half", "flipped"):  # text may be anything
                yield (
                    f"distil: {name} {how}",
                    file_case("distil", Path("text"), name, damage, task="{}", model_dir="{}/m"),
                )
    for name in ("config.json", "vocab.txt", "tf_model.h5"):
        for how, damage in damaged(Path("bert", name), chance):
            if (name, how) not in (("vocab.txt", "flipped"), ("config.json", "flipped"), ("tf_model.h5", "flipped")):
                flags = {"pt_teacher_checkpoint": "{}", "model_dir": "{}/m", "teacher_model_dir": "{}/m"}
                yield f"distil: checkpoint {name} {how}", file_case("distil", Path("bert"), name, damage, **flags)


CONFIG_VALUES = {
    "hidden_act": ("foo", 3, None, ["gelu"]),
    "hidden_size": ("24", 0, -24, 10**9, 25, None, True),
    "num_attention_heads": (0, -4, 5, "4", 10**6),
    "num_hidden_layers": (0, -1, 10**6, "4", None),
    "intermediate_size": (0, -1, 10**10, "x"),
    "vocab_size": (0, -1, 7, "x", 10**10),
    "max_position_embeddings": (0, -1, "x", 10**10),
    "hidden_dropout_prob": (-1, 2, "x"),
    "layer_norm_eps": ("x", -1),
    "model_type": ("", 7, "llama", None, "modernbert"),
}


def checkpoint_cases() -> Iterator[Case]:
    """Values in a checkpoint's configuration."""
    import json

    for key, values in CONFIG_VALUES.items():
        for value in values:

            def damage(path: Path, key=key, value=value) -> None:
                path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))

            flags = {"pt_teacher_checkpoint": "{}", "model_dir": "{}/m", "teacher_model_dir": "{}/m"}
            yield f"checkpoint {key} {value!r}", file_case("distil", Path("bert"), "config.json", damage, **flags)


# Python

ODD = (None, 3, -1, 2.5, float("nan"), "x", b"x", [], {}, object(), np.zeros((2, 2, 2)), [None], [[1, "a"]])


def python_cases() -> Iterator[Case]:
    configs = (cli.VERBS[verb][1] for verb in ("distil", "pretrain", "task-transfer"))
    functions = (xtremedistil.distil, xtremedistil.pretrain, xtremedistil.transfer)
    for kind, function in zip(configs, functions, strict=True):
        for odd in ODD:
            yield f"{function.__name__}({odd!r:.30})", lambda function=function, odd=odd: function(odd)
            for entry in dataclasses.fields(kind):
                if not could_be(entry, odd):
                    yield f"{kind.__name__} {entry.name}={odd!r:.30}", odd_field(function, kind, entry, odd)
    for name in ("load_predictor", "load_student", "export_onnx", "export_saved_model", "save_pretrained"):
        for odd in ODD:
            yield f"{name}({odd!r:.30})", lambda name=name, odd=odd: getattr(xtremedistil, name)(odd)
    for runtime in ("keras", "onnx"):
        predictor = xtremedistil.load_predictor("student", runtime=runtime)
        for odd in ODD:
            if not isinstance(odd, list | np.ndarray):  # lists of words are texts, too
                yield f"{runtime} predictor({odd!r:.30})", lambda predictor=predictor, odd=odd: predictor(odd)
            if not isinstance(odd, str):
                yield f"{runtime} predictor([{odd!r:.30}])", lambda predictor=predictor, odd=odd: predictor(["a", odd])
    for kind in (xtremedistil.Match, xtremedistil.SoftLabels, xtremedistil.Stage, xtremedistil.FitSettings):
        for entry in dataclasses.fields(kind):
            for odd in (b"x", object(), float("nan"), -3.5):
                yield f"{kind.__name__} {entry.name}={odd!r:.30}", lambda k=kind, e=entry, o=odd: odd_part(k, e, o)


def could_be(entry: dataclasses.Field, value) -> bool:
    """Whether a field may have such a value; its range is not looked at."""
    if isinstance(value, list) and not value:
        return "tuple" in str(entry.type)
    names = {type(None): "None", int: "int", float: "float", str: "str"}
    kind = names.get(type(value))
    return kind is not None and (kind in str(entry.type) or (kind == "int" and "float" in str(entry.type)))


def odd_field(function: Callable, kind: type, entry: dataclasses.Field, odd) -> Callable[[], object]:
    verb = next(verb for verb, (_, other, _) in cli.VERBS.items() if other is kind)
    sound = {name: (value,) if name == "corpus" else value for name, value in SOUND[verb].items()}
    return lambda: function(kind(**sound | {entry.name: odd}))


def odd_part(kind: type, entry: dataclasses.Field, odd) -> object:
    values = {"Match": {"feature": "hidden_states", "teacher": 1, "student": 1}, "Stage": STAGE}.get(kind.__name__, {})
    return kind(**values | {entry.name: odd})


STAGE = {
    "number": 1,
    "objective": "logits",
    "unfrozen": ("head",),
    "epochs": 1,
    "learning_rate": 0.1,
    "batch_size": 8,
}


def ending(action: Callable[[], object]) -> str:
    """How a case ended: "" as it should, else what happened."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = action()
    except SystemExit as error:
        code = error.code
    except (ValueError, TypeError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1].filename
        own = last.startswith((PACKAGE, __file__)) and isinstance(error, ValueError | TypeError)
        return "" if own else f"{type(error).__name__} out of {os.path.relpath(last)}: {str(error)[:150]}"
    except BaseException as error:  # whatever a library throws
        return f"{type(error).__name__}: {str(error)[:150]}"
    if code == 2 and "Traceback" not in said.getvalue() and said.getvalue().strip():
        return ""
    return f"ended with {code!r:.80}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7, help="of the damage, and of the cases that are drawn")
    parser.add_argument("--cases", type=int, default=2000, help="at most so many")
    values = parser.parse_args()
    chance = random.Random(values.seed)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        make_material()
        distilled = cli.main(arguments("distil", model_dir="student", teacher_model_dir="student"))
        assert distilled == 0 and cli.main(arguments("export")) == 0
        cases = [*flag_cases(chance), *file_cases(chance), *checkpoint_cases(), *python_cases()]
        chance.shuffle(cases)
        counts: Counter = Counter()
        for name, action in cases[: values.cases]:
            fault = ending(action)
            counts["faults" if fault else "sentences"] += 1
            if fault:
                print(f"{name}: {fault}", flush=True)
    print(f"seed {values.seed}: {sum(counts.values()):,} wrong inputs, {counts['faults']} without a sentence")


if __name__ == "__main__":
    main()
