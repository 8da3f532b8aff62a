"""Distillation from Python: `Distiller` and `fit_tasks`."""
