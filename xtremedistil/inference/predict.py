"""The two predict commands: score the task's test file, label a file; through Keras or through ONNX Runtime."""

import json
import os
from collections.abc import Callable, Iterable, Iterator

from xtremedistil.console.progress import Progress
from xtremedistil.data.features import Features, LabelledSet
from xtremedistil.errors import InputError
from xtremedistil.evaluation.scorer import Scorer
from xtremedistil.export.common.config import ExportConfig
from xtremedistil.inference.config import OnnxPredictConfig, PredictConfig
from xtremedistil.serving.onnx_runtime import exported_file
from xtremedistil.serving.predictor import Predictor, load_predictor
from xtremedistil.storage import files, model_folder
from xtremedistil.tasks import Task
from xtremedistil.tasks.labelled_sets import cut_note

LINES_AT_A_TIME = 4096
CHARACTERS_AT_A_TIME = 1 << 21
Config = PredictConfig | OnnxPredictConfig


def predict_with_keras(config: PredictConfig) -> None:
    """`run_xtreme_distil_predict.py`."""
    from xtremedistil.training.strategy import precision

    with precision(config.opt_policy):
        predictor = load_predictor(
            config.model_dir,
            weights=config.weights,
            batch_size=config.batch_size,
            tokenizer=config.pt_teacher_checkpoint,
            accept_weights=config.accept_weights,
        )
        _predict(config, predictor)


def predict_with_onnx(config: OnnxPredictConfig) -> None:
    """`run_xtreme_distil_predict_onnx.py`. As the original did, it exports first where no graph is there."""
    if exported_file(config.model_dir, quantize=config.quantize) is None:
        _export(config)
    predictor = load_predictor(
        config.model_dir,
        runtime="onnx",
        weights=config.weights,
        batch_size=config.batch_size,
        tokenizer=config.pt_teacher_checkpoint,
        quantize=config.quantize,
        num_threads=config.num_threads,
        accept_weights=config.accept_weights,
    )
    _predict(config, predictor)


def _export(config: OnnxPredictConfig) -> None:
    """Compares on the task's dev rows, or, where the task is not here, on the lines that are to be labelled."""
    from xtremedistil.console.quiet import import_tensorflow
    from xtremedistil.export.common.validation import check_export

    task = config.task or model_folder.read_config(config.model_dir)["task"]
    export_config = ExportConfig(
        model_dir=config.model_dir,
        to=("int8",) if config.quantize else ("onnx",),
        weights=config.weights,
        task=config.task,
        rows=None if config.task or os.path.isdir(task) else config.pred_file,
        pt_teacher_checkpoint=config.pt_teacher_checkpoint,
        accept_weights=config.accept_weights,
        onnx_input_type=config.onnx_input_type,
    )
    check_export(export_config)
    import_tensorflow(config.verbose)
    from xtremedistil.export.export import export, table

    print(table(export(export_config)))


def _predict(config: Config, predictor: Predictor) -> None:
    """Does what the flags ask for and says where the result is."""
    folder = _output_folder(config)
    if config.do_eval:
        metrics = evaluate_folder(config, predictor)
        files.write_json(os.path.join(folder, model_folder.METRICS), metrics)
        print(json.dumps(metrics, indent=2, ensure_ascii=False))
    if config.do_predict:
        path = predict_file(config, predictor, folder)
        print(f"predictions are in {path}")


def _output_folder(config: Config) -> str:
    """Where the results go; makes it.

    Raises:
        InputError: it cannot be made.
    """
    folder = config.output_dir or config.model_dir
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise InputError(f"`output_dir` {folder} cannot be made: {error.strerror or error}.") from error
    return folder


def evaluate_folder(config: Config, predictor: Predictor) -> dict:
    """Metrics of the task's test file."""
    task, tokenizer = predictor.task, predictor.tokenizer
    if config.legacy and task.by_position and not task.pseudo_labels:
        raise InputError(
            f"`legacy`: {config.model_dir} has no labels for tokens, so it cannot have the original's score. "
            "Leave `legacy` away, or distil with `legacy`."
        )
    folder = config.task or model_folder.read_config(config.model_dir)["task"]
    examples = task.read(os.path.join(folder, "test.tsv"), labelled=True)
    labelled = LabelledSet(examples, task.encode(examples, tokenizer, predictor.seq_len, original_rows=config.legacy))
    scorer = Scorer(task, tokenizer.pad_id, predictor.batch_size, config.legacy)
    cut = cut_note(predictor.cut_rows(examples, labelled.features), predictor.seq_len)
    Progress().log(f"{task.counts('test', examples)}{cut}; scores are {scorer.metric_note}")
    return scorer.metrics_of(predictor.logits(labelled.features), labelled)


def predict_file(config: Config, predictor: Predictor, folder: str) -> str:
    """Labels `pred_file` block by block into a file in `folder`; returns its path.

    There is one line out for each line in, in the same order.
    """
    lines = _legacy_lines if config.legacy and predictor.task.by_position else _lines
    as_json = config.output_format == "json"
    path = os.path.join(folder, model_folder.JSON_PREDICTIONS if as_json else model_folder.PREDICTIONS)
    cut = 0
    with files.atomic_file(path) as file:
        for examples in _blocks(predictor.task, predictor.task.read_prediction_lines(config.pred_file)):
            features = predictor.encode(examples)
            cut += predictor.cut_rows(examples, features)
            for line in lines(predictor, examples, features, _json_line if as_json else _text_line):
                file.write(line + "\n")
    if cut:
        Progress().log(f"{config.pred_file}: {cut:,} texts cut to the student's seq_len, {predictor.seq_len} tokens")
    return path


def _lines(predictor: Predictor, examples: list, features: Features, write: Callable[..., str]) -> Iterator[str]:
    probabilities = predictor.decode(features, examples)
    labels = predictor.task.predict_labels(probabilities)
    for example, answer, chances in zip(examples, labels, probabilities, strict=True):
        yield write(predictor.task, example, answer, chances)


def _legacy_lines(predictor: Predictor, examples: list, _: Features, write: Callable[..., str]) -> Iterator[str]:
    """The original's layout: tokens, a tab, and a tag for each token, pseudo-labels too; long lines are cut."""
    for pieces, tags in predictor.token_tags(examples):
        yield f"{' '.join(pieces)}\t{' '.join(tags)}"


def _blocks(task: Task, examples: Iterable) -> Iterator[list]:
    """Examples at a time: many lines, or few long ones."""
    block, characters = [], 0
    for example in examples:
        block.append(example)
        characters += len(task.text_of(example))
        if len(block) >= LINES_AT_A_TIME or characters >= CHARACTERS_AT_A_TIME:
            yield block
            block, characters = [], 0
    if block:
        yield block


def _text_line(task: Task, example, answer, chances) -> str:
    return f"{task.text_of(example)}\t{task.answer_text(answer)}"


def _json_line(task: Task, example, answer, chances) -> str:
    """One object: the text, its label (or labels), and the probability of each label (of each word)."""
    return json.dumps({"text": task.text_of(example)} | task.answer_json(answer, chances), ensure_ascii=False)
