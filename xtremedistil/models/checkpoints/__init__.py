"""Loads Hugging Face checkpoints; reads and writes h5 weight files by name."""
