"""Encoders with a language-modelling head."""
