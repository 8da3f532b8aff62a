"""Rows that a run reads."""
