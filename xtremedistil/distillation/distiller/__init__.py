"""`Distiller` and `fit_tasks`."""
