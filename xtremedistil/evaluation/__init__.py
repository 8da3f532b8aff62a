"""Scores models, reports results and counts parameters."""
