"""Prediction with Keras or ONNX Runtime from Python."""
