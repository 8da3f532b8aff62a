"""Command line: parsers made from the dataclasses of `config.py`, exit codes, `xtremedistil <verb>`.

Exit codes: 0 done; 1 a fault of ours (traceback); 2 something to mend in what was given; 130 interrupted (Ctrl-C);
143 terminated (SIGTERM).
"""

import argparse
import dataclasses
import errno
import sys
import types
import typing

from xtremedistil.console.quiet import import_tensorflow, without_native_noise
from xtremedistil.console.sigterm import TERMINATED, on_sigterm
from xtremedistil.distillation.planning.config import DistilConfig, spelled_out
from xtremedistil.errors import InputError
from xtremedistil.export.common.config import ExportConfig
from xtremedistil.finetuning.config import BaselineConfig, ContinueConfig
from xtremedistil.flags import REQUIRED, TrainingFlags, current_names, old_names, rate_or_auto
from xtremedistil.inference.config import OnnxPredictConfig, PredictConfig
from xtremedistil.pretraining.config import PretrainConfig
from xtremedistil.task_transfer.config import TransferConfig


def _rate(text: str):
    try:
        return rate_or_auto(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: give a number above 0, or auto") from error


METAVARS = {int: "N", float: "X", str: "TEXT", _rate: "RATE"}


def _reader(entry: dataclasses.Field):
    if entry.type == float | str:
        return _rate
    if isinstance(entry.type, types.UnionType):
        return typing.get_args(entry.type)[0]
    return entry.type


def _help(entry: dataclasses.Field) -> str:
    """With the default, where it says something."""
    silent = any(entry.default is value for value in (None, False, True, (), REQUIRED))
    return entry.metadata["help"] + ("" if silent else f" (default: {entry.default})")


def _add_flag(parser: argparse.ArgumentParser, entry: dataclasses.Field) -> None:
    """The flag of a field, and its old names, which `--help` does not show."""
    reading = _reading(entry)
    on = entry.type is bool and entry.default is True
    for name in (entry.name, *entry.metadata["aliases"]):
        spelled = f"no_{name}" if on else name
        spellings = dict.fromkeys([f"--{spelled}", "--" + spelled.replace("_", "-")])
        shown = _help(entry) if name == entry.name else argparse.SUPPRESS
        # Flags that are not given leave no value: the defaults are the dataclass's.
        parser.add_argument(*spellings, dest=name, default=argparse.SUPPRESS, help=shown, **reading)


def _reading(entry: dataclasses.Field) -> dict:
    """How argparse reads the values of a flag."""
    if entry.type is bool:
        return {"action": "store_false" if entry.default is True else "store_true"}
    required, choices = entry.default is REQUIRED, entry.metadata["choices"]
    if entry.type == tuple[str, ...]:
        return {"nargs": "+", "choices": choices, "required": required}
    reader = _reader(entry)
    read = {"type": reader, "required": required, "choices": choices, "metavar": None if choices else METAVARS[reader]}
    # The original let many flags stand without a value, which meant: as if not given.
    return read if required else read | {"nargs": "?", "const": entry.default}


def add_flags(parser: argparse.ArgumentParser, kind) -> None:
    """One flag for each field of the dataclass `kind`, those that all training has last."""
    common = {entry.name for entry in dataclasses.fields(TrainingFlags)}
    for entry in sorted(dataclasses.fields(kind), key=lambda entry: entry.name in common):
        _add_flag(parser, entry)


# One function for each verb. They import what the verb needs, only then: TensorFlow takes seconds. Each prints a table.


def _distil(config: DistilConfig) -> None:
    if config.dry_run:
        from xtremedistil.distillation.pipeline.measure import plan

        print(plan(config))
        return
    from xtremedistil.distillation.planning.planner import make_plan

    made = make_plan(config)
    import_tensorflow(config.verbose)
    from xtremedistil.distillation.pipeline.distil import run_plan

    print(run_plan(made).table())


def _pretrain(config: PretrainConfig) -> None:
    from xtremedistil.pretraining.validation import check_pretrain

    check_pretrain(config)
    import_tensorflow(config.verbose)
    from xtremedistil.pretraining.pretrain import pretrain

    print(pretrain(config).table())


def _predict(config: PredictConfig) -> None:
    from xtremedistil.inference.validation import check_predict

    check_predict(config)
    import_tensorflow(config.verbose)
    from xtremedistil.inference.predict import predict_with_keras

    predict_with_keras(config)


def _predict_onnx(config: OnnxPredictConfig) -> None:
    from xtremedistil.inference.validation import check_predict_onnx

    check_predict_onnx(config)
    from xtremedistil.inference.predict import predict_with_onnx

    predict_with_onnx(config)


def _export(config: ExportConfig) -> None:
    from xtremedistil.export.common.validation import check_export

    check_export(config)
    import_tensorflow(config.verbose)
    from xtremedistil.export.export import export, table

    print(table(export(config)))


def _continue(config: ContinueConfig) -> None:
    from xtremedistil.finetuning.validation import check_continue

    check_continue(config)
    import_tensorflow(config.verbose)
    from xtremedistil.finetuning.finetune import continue_training

    print(continue_training(config).table())


def _fine_tune(config: BaselineConfig) -> None:
    from xtremedistil.finetuning.validation import check_baseline

    check_baseline(config)
    import_tensorflow(config.verbose)
    from xtremedistil.finetuning.finetune import fine_tune

    print(fine_tune(config).table())


def _transfer(config: TransferConfig) -> None:
    from xtremedistil.task_transfer.validation import check_transfer

    check_transfer(config)
    import_tensorflow(config.verbose)
    from xtremedistil.evaluation.report import transfer_table
    from xtremedistil.task_transfer.task_transfer import transfer

    print(transfer_table(transfer(config)))


VERBS = {
    "distil": (_distil, DistilConfig, "distil a teacher into a student"),
    "pretrain": (_pretrain, PretrainConfig, "make a small general model out of a big one and plain text"),
    "predict": (_predict, PredictConfig, "label a file or score the test file with a student"),
    "predict-onnx": (_predict_onnx, OnnxPredictConfig, "the same through ONNX Runtime"),
    "export": (_export, ExportConfig, "write a student as ONNX, int8, SavedModel or Hugging Face folder"),
    "ft": (_continue, ContinueConfig, "train a distilled student further on the labels"),
    "model-ft": (_fine_tune, BaselineConfig, "fine-tune a pre-trained model, without distillation"),
    "task-transfer": (_transfer, TransferConfig, "distil on one task and reuse the student on another with few labels"),
}

TRAINING = ("distil", "pretrain", "ft", "model-ft", "task-transfer")  # these save where they are


OLD_VERBS = {"transfer": "task-transfer"}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xtremedistil", description="Small, fast students of big transformers.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, (_, kind, summary) in VERBS.items():
        aliases = [old for old, new in OLD_VERBS.items() if new == verb]
        add_flags(verbs.add_parser(verb, aliases=aliases, help=summary, description=kind.__doc__), kind)
    return parser


def _end() -> None:
    """Unwinds the program, so that half-written files go; a fit first saves where it is."""
    raise SystemExit(TERMINATED)


def read_flags(arguments: list[str] | None = None):
    """The verb and its settings."""
    values = vars(build_parser().parse_args(arguments))
    verb = values.pop("verb")
    verb = OLD_VERBS.get(verb, verb)
    kind = VERBS[verb][1]
    values = current_names(old_names(kind), values)
    config = kind(**values)
    return verb, spelled_out(config, values) if verb == "distil" else config


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; returns the exit code."""
    try:
        verb, config = read_flags(arguments)
    except InputError as error:
        print(f"xtremedistil: {error}", file=sys.stderr)
        return 2
    run = VERBS[verb][0]
    try:
        with on_sigterm(_end), without_native_noise(config.verbose):
            run(config)
            return 0
    except InputError as error:
        print(f"xtremedistil: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"xtremedistil: {where}{error.strerror}. Make room, and give the same command again.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        resuming = "; the same command goes on from where it was last saved" if verb in TRAINING else ""
        print(f"\nxtremedistil: interrupted{resuming}.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
