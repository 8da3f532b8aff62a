"""Encoders with a language-modelling head, for pre-training."""
