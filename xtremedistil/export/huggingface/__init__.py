"""Folders for PyTorch's transformers."""
