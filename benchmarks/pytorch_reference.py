"""The usual road to ONNX, to compare with: PyTorch's exporter, ONNX Runtime's transformer optimizer and quantizer.

    pip install torch onnxscript sympy
    python benchmarks/pytorch_reference.py --checkpoint teachers/minilm-l6-h384 --out runs/reference

Writes `fp32.onnx` and `int8.onnx` of a `BertForTokenClassification` with the checkpoint's weights and a fixed random
classifier for 7 labels, and `classifier.npz` with that.
"""

import argparse
from pathlib import Path

import numpy as np

LABELS = 7
NAMES = ("input_ids", "attention_mask", "token_type_ids")


def export(checkpoint: str, out: Path) -> None:
    import torch
    from onnxruntime.transformers.optimizer import optimize_model
    from transformers import BertForTokenClassification

    torch.manual_seed(1)
    model = BertForTokenClassification.from_pretrained(
        checkpoint, num_labels=LABELS, attn_implementation="eager", return_dict=False
    ).eval()
    classifier = {name: value.detach().numpy() for name, value in model.classifier.named_parameters()}
    np.savez(out / "classifier.npz", **classifier)
    plain = str(out / "plain.onnx")
    torch.onnx.export(
        model,
        tuple(torch.ones((2, 8), dtype=torch.int64) for _ in NAMES),
        plain,
        input_names=list(NAMES),
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "sequence"} for name in (*NAMES, "logits")},
        opset_version=17,
        dynamo=False,
    )
    config = model.config
    optimized = optimize_model(plain, "bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size)
    optimized.save_model_to_file(str(out / "fp32.onnx"))
    print("fused:", {name: count for name, count in optimized.get_fused_operator_statistics().items() if count})


def quantize(out: Path) -> None:
    """Dynamic, per channel, signed weights: what ours does too."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    options = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(
        out / "fp32.onnx", out / "int8.onnx", per_channel=True, weight_type=QuantType.QInt8, extra_options=options
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="folder of a BERT checkpoint")
    parser.add_argument("--out", type=Path, required=True)
    values = parser.parse_args()
    values.out.mkdir(parents=True, exist_ok=True)
    export(values.checkpoint, values.out)
    quantize(values.out)


if __name__ == "__main__":
    main()
