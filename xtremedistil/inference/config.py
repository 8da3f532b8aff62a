"""Flags of the commands that predict with a student."""

from dataclasses import dataclass

from xtremedistil.export.common.config import onnx_input_type_flag
from xtremedistil.flags import DATA, DEVICES, REQUIRED, RUN, STUDENT, accept_weights_flag, flag, takes_old_names


@dataclass(kw_only=True)
class Prediction:
    """Flags that both commands have."""

    model_dir: str = flag(REQUIRED, "folder of the student, as distil writes it", group=RUN, original=True)
    pred_file: str | None = flag(None, "text to label, one example per line; plain or .gz", group=DATA, original=True)
    do_eval: bool = flag(False, "score the task's test.tsv; writes metrics.json", group=RUN, original=True)
    do_predict: bool = flag(False, "label pred_file; writes predictions.txt", group=RUN, original=True)
    output_dir: str | None = flag(
        None, "folder for the files that are written (model_dir may be read-only); by default model_dir", group=RUN
    )
    weights: str = flag("xtremedistil.h5", "weight file in model_dir, for example xtremedistil-ft.h5", group=STUDENT)
    output_format: str = flag(
        "text", "json: add probabilities and write predictions.jsonl", group=RUN, choices=("text", "json")
    )
    task: str | None = flag(None, "task folder for --do_eval; by default the student's own", group=DATA)
    pt_teacher_checkpoint: str | None = flag(
        None, "tokenizer for a folder that holds none (those of the original release)", group=DATA
    )
    legacy: bool = flag(False, "one tag per token, and the original's chunk score", group=RUN)
    accept_weights: bool = accept_weights_flag()
    verbose: bool = flag(False, "show the messages of TensorFlow and transformers", group=RUN)


@takes_old_names
@dataclass(kw_only=True)
class PredictConfig(Prediction):
    """Label a file, or score the test file of the task, with a student (run_xtreme_distil_predict.py)."""

    batch_size: int = flag(256, "batch size", group=DEVICES, original=True, least=1)
    opt_policy: str | None = flag(
        None,
        "precision of the predictions",
        group=DEVICES,
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
        original=True,
    )


@takes_old_names
@dataclass(kw_only=True)
class OnnxPredictConfig(Prediction):
    """Predict with ONNX Runtime; writes the ONNX model first if it is missing (run_xtreme_distil_predict_onnx.py)."""

    batch_size: int = flag(1, "batch size; 1 suits texts that come one by one", group=DEVICES, least=1)
    num_threads: int | None = flag(
        None, "threads of ONNX Runtime; by default one per core, at most 4", group=DEVICES, least=1
    )
    quantize: bool = flag(False, "use the int8 graph", group=STUDENT)
    onnx_input_type: str = onnx_input_type_flag()
