"""The predict commands."""
