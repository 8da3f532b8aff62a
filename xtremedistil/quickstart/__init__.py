"""The quick start: a generated task, a real teacher, one run."""
