"""Turns terms into objectives, the functions that a fit minimises."""
