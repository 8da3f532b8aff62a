"""Weights in files: loading Hugging Face checkpoints, reading and writing h5 by name."""
