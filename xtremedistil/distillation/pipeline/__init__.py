"""Runs a distillation from its plan to a model folder."""
