"""Reads and encodes the examples of a run."""
