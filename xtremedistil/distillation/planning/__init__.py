"""Flags, their checks, and what they come to."""
