"""Files and folders on disk: atomic writes, locks, what a model folder and a run's folder hold."""
