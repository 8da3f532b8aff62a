"""One run from flags to a model folder."""
