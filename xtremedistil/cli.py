"""Command line: `xtremedistil <verb>`; exit codes are those of `console.ending`."""

import dataclasses
import re
import sys
from functools import partial

from xtremedistil import __version__
from xtremedistil.console.ending import exit_code
from xtremedistil.console.quiet import import_tensorflow, without_native_noise
from xtremedistil.console.sigterm import TERMINATED, on_sigterm
from xtremedistil.console.streams import tolerant_streams
from xtremedistil.distillation.planning.config import DistilConfig, expand_recipe
from xtremedistil.export.common.config import ExportConfig
from xtremedistil.finetuning.config import BaselineConfig, ContinueConfig
from xtremedistil.flag_parser import WITHOUT_VALUE, Parser, add_help, build_command
from xtremedistil.flags import current_names, did_you_mean, nearest, old_names
from xtremedistil.inference.config import OnnxPredictConfig, PredictConfig
from xtremedistil.pretraining.config import PretrainConfig
from xtremedistil.task_transfer.config import TransferConfig

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
    from xtremedistil.pretraining.plan import make_pretrain_plan

    plan = make_pretrain_plan(config)
    import_tensorflow(config.verbose)
    from xtremedistil.pretraining.pretrain import run_plan

    print(run_plan(plan).table())


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
    from xtremedistil.finetuning.plan import continuation_plan

    plan = continuation_plan(config)
    import_tensorflow(config.verbose)
    from xtremedistil.finetuning.finetune import continue_training

    print(continue_training(plan).table())


def _fine_tune(config: BaselineConfig) -> None:
    from xtremedistil.finetuning.plan import fine_tuning_plan

    plan = fine_tuning_plan(config)
    import_tensorflow(config.verbose)
    from xtremedistil.finetuning.finetune import fine_tune

    print(fine_tune(plan).table())


def _transfer(config: TransferConfig) -> None:
    from xtremedistil.task_transfer.plan import make_task_transfer_plan

    plan = make_task_transfer_plan(config)
    import_tensorflow(config.verbose)
    from xtremedistil.evaluation.report import transfer_table
    from xtremedistil.task_transfer.task_transfer import run_plan

    print(transfer_table(run_plan(plan)))


VERBS = {
    "distil": (_distil, DistilConfig, "distil a teacher into a student"),
    "pretrain": (_pretrain, PretrainConfig, "pre-train a small general model on plain text, with a teacher"),
    "predict": (_predict, PredictConfig, "label a file, or score the test file, with a student"),
    "predict-onnx": (_predict_onnx, OnnxPredictConfig, "predict with ONNX Runtime"),
    "export": (_export, ExportConfig, "write a student as ONNX, int8, SavedModel or Hugging Face folder"),
    "ft": (_continue, ContinueConfig, "train a distilled student further on the labels of its task"),
    "model-ft": (_fine_tune, BaselineConfig, "fine-tune a pre-trained model, without distillation"),
    "task-transfer": (_transfer, TransferConfig, "distil on one task, then fine-tune the student on another"),
}

TRAINING = ("distil", "pretrain", "ft", "model-ft", "task-transfer")  # these save where they are
VERB_ALIASES = {"transfer": "task-transfer", "distill": "distil"}

# Flags of ours that `distil --help` shows beside those of the original release; `--help_all` shows all.
SHORT_HELP = {
    "distil": "augment student_kind recipe teacher_logits teacher_onnx distil_relations layer_map soft_label_loss "
    "temperature hard_label_weight teacher_outputs baseline legacy overwrite dry_run".split()
}

# Arguments behind each verb, as an example.
EXAMPLES = {
    "distil": "--task datasets/NER --do_NER --transfer_file datasets/NER/unlabeled.txt --seq_len 32 \\\n"
    "      --model_dir runs/ner --teacher_model_dir runs/ner \\\n"
    "      --pt_teacher auto --pt_teacher_checkpoint bert-base-multilingual-cased \\\n"
    "      --recipe best --num_attention_heads 12 --freeze_word_embedding",
    "pretrain": "--pt_teacher_checkpoint bert-base-cased --corpus 'wiki/*.txt.gz' --model_dir runs/small \\\n"
    "      --init_layers uniform --epochs 3",
    "predict": "--model_dir runs/ner --do_predict --pred_file new.txt",
    "predict-onnx": "--model_dir runs/ner --do_predict --pred_file new.txt --quantize",
    "export": "--model_dir runs/ner --to onnx int8",
    "ft": "--model_dir runs/ner --batch_size 32 --ft_epochs 20",
    "model-ft": "--task datasets/NER --do_NER --seq_len 32 --model_dir runs/baseline \\\n"
    "      --pt_model auto --pt_model_checkpoint microsoft/xtremedistil-l6-h384-uncased",
    "task-transfer": "--source_task datasets/reviews --target_task datasets/tickets --target_labels 100 \\\n"
    "      --seq_len 64 --model_dir runs/transfer --pt_teacher auto --pt_teacher_checkpoint bert-base-cased",
}


def _spelled_verb(arguments: list[str]) -> list[str]:
    """Arguments with the verb as it is declared.

    Raises:
        ValueError: there is no such verb.
    """
    if not arguments or arguments[0].startswith("-"):
        return ["--help_all" if argument == "--help-all" else argument for argument in arguments]
    verb = arguments[0].replace("_", "-")
    verb = VERB_ALIASES.get(verb, verb)
    if verb not in VERBS:
        near = nearest(verb, [*VERBS, *VERB_ALIASES])
        hint = did_you_mean(dict.fromkeys(VERB_ALIASES.get(name, name) for name in near))
        raise ValueError(f"{arguments[0]} is no command{hint or '; there are ' + ', '.join(VERBS)}")
    return [verb, *arguments[1:]]


def build_parser() -> Parser:
    parser = Parser(prog="xtremedistil", description="Small, fast students of big transformers.", spell=_spelled_verb)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND", title="commands")
    for verb, (_, kind, summary) in VERBS.items():
        make = partial(verbs.add_parser, verb, help=summary)
        build_command(make, verb, kind, EXAMPLES[verb], SHORT_HELP.get(verb))
    add_help(parser)
    parser.add_argument("--version", action="version", version=f"xtremedistil {__version__}")
    return parser


def _end() -> None:
    """Unwinds the program, so that half-written files go; a fit first saves where it is."""
    raise SystemExit(TERMINATED)


def read_flags(arguments: list[str] | None = None):
    """The verb and its settings; says on stderr which flags stand without a value.

    Raises:
        InputError: a flag is given by its old and its new name, with two values.
    """
    values = vars(build_parser().parse_args(arguments))
    verb = values.pop("verb")
    kind = VERBS[verb][1]
    values = current_names(old_names(kind), _with_values(kind, values))
    config = kind(**values)
    return verb, expand_recipe(config, values) if verb == "distil" else config


def _with_values(kind, values: dict) -> dict:
    """The flags that are given with a value; says which are not, and what they stand for."""
    defaults = {entry.name: entry.default for entry in dataclasses.fields(kind)}
    bare = [name for name, value in values.items() if value is WITHOUT_VALUE]
    if bare:
        taken = ", ".join(f"--{name} {'none' if defaults[name] is None else defaults[name]}" for name in bare)
        print(f"xtremedistil: flags without a value have their defaults: {taken}", file=sys.stderr)
    return {name: value for name, value in values.items() if value is not WITHOUT_VALUE}


ARGUMENT = re.compile(r"`(\w+)`")  # as messages name one
OF_PYTHON = {"tokenizer": "pt_teacher_checkpoint"}  # arguments of Python functions, and the flags that fill them


def with_flags(message: str, kind) -> str:
    """A message with the flags of a command in place of the arguments that a Python caller knows: --model_dir for
    `model_dir`."""
    flags = {entry.name for entry in dataclasses.fields(kind)} | set(old_names(kind))

    def flag(found: re.Match) -> str:
        name = OF_PYTHON.get(found[1], found[1])
        return f"--{name}" if name.removeprefix("no_") in flags else found[0]

    return ARGUMENT.sub(flag, message)


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; returns the exit code."""
    with tolerant_streams(), on_sigterm(_end):
        given = []
        code = exit_code(lambda: given.extend(read_flags(arguments)))
        if code:
            return code
        verb, config = given
        worded = partial(with_flags, kind=type(config))
        return exit_code(lambda: _run(verb, config), worded, resumes=verb in TRAINING)


def _run(verb: str, config) -> None:
    with without_native_noise(config.verbose):
        VERBS[verb][0](config)


if __name__ == "__main__":
    sys.exit(main())
