"""Distillation: planning, data, teacher outputs, the pipeline of a run, and `Distiller`."""
