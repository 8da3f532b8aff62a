"""Scores, reports, parameter counts."""
