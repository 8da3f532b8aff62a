"""Files and folders on disk: atomic writes, locks, and the layout of model and run folders."""
