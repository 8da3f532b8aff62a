"""Loads, applies and trims tokenizers; the one for serving does not need transformers."""
