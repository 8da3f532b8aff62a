"""How fast a student answers, and in how much memory, beside its teacher and beside the usual road to ONNX.

    python benchmarks/pytorch_reference.py --checkpoint teachers/minilm-l6-h384 --out runs/reference
    python benchmarks/inference.py grid --student runs/wikiann --reference runs/reference \
        --checkpoint teachers/minilm-l6-h384
    python benchmarks/inference.py throughput --student runs/wikiann
    python benchmarks/inference.py memory --student runs/wikiann --lines $DATA/wikiann-en/unlabeled.txt

grid: the graphs alone, generated ids, one thread and spinning off for all; the graphs take turns, so that what else
the machine does meets them alike. throughput: the task's test file from text to tags. memory: peak resident sets of
processes that do nothing else; the lines are repeated up to a million.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import xtremedistil

LENGTHS, BATCHES = (16, 32, 128), (1, 32)
SECONDS_PER_POINT = 4.0  # for each graph
VOCABULARY = 30_000
MILLION = 1_000_000


def generated_batch(batch: int, length: int) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(1).integers(1000, VOCABULARY, (batch, length)).astype(np.int32)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


class Graph:
    """An ONNX graph, of this package or not, on one thread."""

    def __init__(self, model: str | bytes):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._types = {i.name: np.int64 if "int64" in i.type else np.int32 for i in self._session.get_inputs()}

    def __call__(self, batch: dict) -> np.ndarray:
        return self._session.run(None, {name: batch[name].astype(kind) for name, kind in self._types.items()})[0]


def checkpoint_graphs(checkpoint: str, classifier: Path) -> dict[str, Graph]:
    """Our graphs of the reference's weights."""
    from xtremedistil.export.common.encoder_weights import Linear, student_weights
    from xtremedistil.export.onnx.transformer_graph import build_graph, quantizable
    from xtremedistil.models.architectures.families import find_family
    from xtremedistil.models.checkpoints.h5_weights import relative_name
    from xtremedistil.models.checkpoints.pretrained import load_encoder, read_config

    family = find_family("auto", read_config(checkpoint)["model_type"])
    encoder = load_encoder(checkpoint, family, name="tf_model")
    arrays = {relative_name(variable.name, "tf_model"): variable.numpy() for variable in encoder.weights}
    head = np.load(classifier)
    linear = Linear(head["weight"].T, head["bias"])
    weights = student_weights(arrays, family, encoder.config.to_dict(), None, linear, by_position=True)
    graphs = {"fp32": build_graph(weights), "int8": build_graph(weights, quantized=quantizable(weights))}
    return {name: Graph(graph.SerializeToString()) for name, graph in graphs.items()}


def timed(graphs: dict[str, Graph], batch: dict) -> dict[str, np.ndarray]:
    """Milliseconds of many calls of each graph, taking turns."""
    for graph in graphs.values():
        graph(batch)
    times: dict[str, list[float]] = {name: [] for name in graphs}
    end = time.perf_counter() + SECONDS_PER_POINT * len(graphs)
    while time.perf_counter() < end or min(map(len, times.values())) < 5:
        for name, graph in graphs.items():
            started = time.perf_counter()
            graph(batch)
            times[name].append(1000 * (time.perf_counter() - started))
    return {name: np.array(values) for name, values in times.items()}


def gemm_peak() -> float:
    """float32 operations per second of a big product, one thread: the best of many."""
    import onnx
    from onnx import TensorProto, helper

    size = 1024
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, size]) for name in ("a", "b", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["y"])], "gemm", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert isinstance(model, onnx.ModelProto)
    product = Graph(model.SerializeToString())
    product._types = {"a": np.float32, "b": np.float32}
    batch = {name: np.random.default_rng(0).standard_normal((size, size), np.float32) for name in ("a", "b")}
    best = min(_seconds(product, batch) for _ in range(40))
    return 2 * size**3 / best


def _seconds(call, *arguments) -> float:
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


def operations(layers: int, hidden: int, length: int, batch: int, labels: int = 7) -> float:
    """Floating-point operations of the products in an encoder with feed-forward 4 x hidden, two per multiply-add."""
    per_position = layers * (12 * hidden**2 + 2 * length * hidden) + hidden * labels
    return 2.0 * per_position * length * batch


def grid(values) -> None:
    ours = checkpoint_graphs(values.checkpoint, values.reference / "classifier.npz")
    graphs = {f"ours {name}": graph for name, graph in ours.items()}
    graphs |= {f"reference {name}": Graph(str(values.reference / f"{name}.onnx")) for name in ("fp32", "int8")}
    graphs["student fp32"] = Graph(str(values.student / "xtremedistil_opt.onnx"))
    graphs["student int8"] = Graph(str(values.student / "xtremedistil_int8.onnx"))
    batch = generated_batch(2, 16)
    difference = np.abs(ours["fp32"](batch) - graphs["reference fp32"](batch)).max()
    print(f"largest difference of logits, ours and the reference in fp32: {difference:.1e}")
    peak = gemm_peak()
    print(f"peak of a float32 product: {peak / 1e9:.0f} GFLOP/s on one thread\n")
    columns = ["fp32, reference / ours", "int8, reference / ours", "ours fp32 of peak", "student fp32 of peak"]
    print("Milliseconds, p50 / p99.\n\n| batch x length | " + " | ".join([*graphs, *columns]) + " |")
    print("| --- |" + " --- |" * (len(graphs) + len(columns)))
    for rows in BATCHES:
        for length in LENGTHS:
            times = timed(graphs, generated_batch(rows, length))
            p50 = {name: float(np.median(values)) for name, values in times.items()}
            cells = [f"{p50[name]:.2f} / {np.percentile(values, 99):.2f}" for name, values in times.items()]
            ratios = [f"{p50[f'reference {kind}'] / p50[f'ours {kind}']:.2f}" for kind in ("fp32", "int8")]
            big = operations(6, 384, length, rows) / (p50["ours fp32"] / 1000) / peak
            small = operations(2, 192, length, rows) / (p50["student fp32"] / 1000) / peak
            cells += [*ratios, f"{100 * big:.0f} %", f"{100 * small:.0f} %"]
            print(f"| {rows} x {length} | " + " | ".join(cells) + " |", flush=True)


def throughput(values) -> None:
    """Sentences per second and F1 on the task's test file, from text to tags.

    The contenders take turns, round after round; the medians of rates and of ratios within a round are printed. The
    teacher's F1 is of all rows, its rate of the first 1,000.
    """
    saved = json.loads((values.student / "xtremedistil-config.json").read_text())
    keras = xtremedistil.load_predictor(str(values.student), batch_size=32)
    examples = keras.task.read(os.path.join(saved["task"], "test.tsv"))
    teacher = padded_teacher(saved)

    def load(quantize: bool, batch_size: int):
        return xtremedistil.load_predictor(
            str(values.student), runtime="onnx", quantize=quantize, batch_size=batch_size
        ).example_probabilities

    contenders = {
        f"student, ONNX {'int8' if quantize else 'fp32'}, batches of {batch_size}": load(quantize, batch_size)
        for batch_size in (1, 32)
        for quantize in (True, False)
    }
    contenders |= {KERAS: keras.example_probabilities, TEACHER: lambda rows: teacher(keras, rows, saved["seq_len"])}
    scores = {}
    for name, label in contenders.items():
        answers = label(examples)
        predicted = answers if name == TEACHER else keras.task.predict_labels(answers)
        scores[name] = keras.task.score(examples, predicted)["f1"]
    rounds = []
    for _ in range(values.repeat):
        rates = {}
        for name, label in contenders.items():
            rows = examples[:TEACHER_ROWS] if name == TEACHER else examples
            rates[name] = len(rows) / _seconds(label, rows)
        rounds.append(rates)
    print("| | sentences a second | times the teacher | F1 | share of the Keras student's F1 |\n|" + " --- |" * 5)
    for name in contenders:
        rate = np.median([rates[name] for rates in rounds])
        ratio = np.median([rates[name] / rates[TEACHER] for rates in rounds])
        kept = 100 * scores[name] / scores[KERAS]
        print(f"| {name} | {rate:,.0f} | {ratio:.0f} | {100 * scores[name]:.1f} | {kept:.1f} % |")


KERAS = "student, Keras, batches of 32"
TEACHER_ROWS = 1000
TEACHER = "teacher, Keras predict, padded to seq_len"


def padded_teacher(saved: dict):
    """The fine-tuned teacher as the original used it: `predict` on rows that are all padded to `seq_len`."""
    from xtremedistil.models.architectures.families import find_family
    from xtremedistil.models.checkpoints.h5_weights import load_weights
    from xtremedistil.models.checkpoints.pretrained import load_encoder, read_config
    from xtremedistil.models.teacher import build_teacher

    checkpoint = saved["pt_teacher_checkpoint"]
    family = find_family("auto", read_config(checkpoint)["model_type"])
    encoder = load_encoder(checkpoint, family, name="tf_model")
    teacher = build_teacher(encoder, family, by_position=True, num_labels=len(saved["label_list"]))
    load_weights(os.path.join(saved["teacher_model_dir"], "model-ft.h5"), teacher.parts)

    def label(predictor, examples: list, seq_len: int) -> list:
        from xtremedistil.data.padding import pad_rows

        features = predictor.task.encode(examples, predictor.tokenizer, seq_len)
        inputs = pad_rows(features, np.arange(len(features)), seq_len, predictor.tokenizer.pad_id)
        inputs.pop("labels", None)
        logits = teacher.model.predict(inputs, batch_size=32, verbose=0)["logits"]
        rows = [row[:length] for row, length in zip(logits, features.lengths, strict=True)]
        return predictor.task.predict_labels(predictor.task.decode(features, rows, examples))

    return label


def memory(values) -> None:
    """Peak resident sets in MiB."""
    lines = values.lines.read_text(encoding="utf-8").splitlines()
    print("| | peak MiB | seconds |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, MILLION // 10, MILLION):
            path = Path(folder) / "lines.txt"
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(lines[number % len(lines)] + "\n" for number in range(count))
            program = "import sys; from xtremedistil.cli import main; sys.exit(main(sys.argv[1:]))"
            flags = ["predict-onnx", "--model_dir", values.student, "--do_predict", "--pred_file", path, "--quantize"]
            seconds, peak = _measured([sys.executable, "-c", program, *map(str, flags), "--batch_size", "32"])
            print(f"| predict-onnx --quantize, {count:,} lines | {peak:.0f} | {seconds:.1f} |", flush=True)


def _measured(command: list[str]) -> tuple[float, float]:
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command[2:])} failed")
    assert isinstance(usage, resource.struct_rusage)
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("grid", "throughput", "memory"))
    parser.add_argument("--student", type=Path, required=True, help="model folder with its ONNX exports")
    parser.add_argument("--checkpoint", help="grid: folder of the reference's checkpoint")
    parser.add_argument("--reference", type=Path, help="grid: folder that pytorch_reference.py wrote")
    parser.add_argument("--lines", type=Path, help="memory: a text file")
    parser.add_argument("--repeat", type=int, default=5, help="throughput: rounds")
    values = parser.parse_args()
    {"grid": grid, "throughput": throughput, "memory": memory}[values.part](values)


if __name__ == "__main__":
    main()
