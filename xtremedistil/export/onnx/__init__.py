"""ONNX graphs, float32 and int8."""
