"""Augments unlabelled text."""
