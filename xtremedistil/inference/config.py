"""Flags of the commands that use a student: prediction and export."""

from dataclasses import dataclass

from xtremedistil.flags import REQUIRED, flag, takes_old_names


@dataclass(kw_only=True)
class Prediction:
    """Flags of the commands that use a student."""

    model_dir: str = flag(REQUIRED, "folder that run_xtreme_distil.py wrote")
    pred_file: str | None = flag(None, "text to label, one example a line; plain or .gz")
    do_eval: bool = flag(False, "score the task's test file; writes metrics.json")
    do_predict: bool = flag(False, "label pred_file; writes predictions.txt")
    output_dir: str | None = flag(
        None, "folder for what is written, made if it is not there (a model_dir may be read-only); by default model_dir"
    )
    weights: str = flag("xtremedistil.h5", "weight file inside model_dir, for example xtremedistil-ft.h5")
    output_format: str = flag("text", "json adds probabilities and writes predictions.jsonl", choices=("text", "json"))
    task: str | None = flag(None, "task folder for --do_eval; by default the one the student was trained on")
    pt_teacher_checkpoint: str | None = flag(None, "tokenizer of a folder that holds none (the original's folders)")
    legacy: bool = flag(False, "one tag per word piece and the original's chunk score")
    verbose: bool = flag(False, "keep the messages of TensorFlow and transformers")


@takes_old_names
@dataclass(kw_only=True)
class PredictConfig(Prediction):
    """`run_xtreme_distil_predict.py`: label a file, or score the task's test file."""

    batch_size: int = flag(256, "rows per step")
    opt_policy: str | None = flag(None, "precision", choices=("float32", "mixed_float16", "mixed_bfloat16"))


@takes_old_names
@dataclass(kw_only=True)
class OnnxPredictConfig(Prediction):
    """`run_xtreme_distil_predict_onnx.py`: the same through ONNX Runtime; exports first where that was not done."""

    batch_size: int = flag(1, "rows per step; 1 suits texts that come one by one")
    num_threads: int | None = flag(None, "threads of ONNX Runtime; by default as many as cores, at most 4")
    quantize: bool = flag(False, "use the int8 graph")
