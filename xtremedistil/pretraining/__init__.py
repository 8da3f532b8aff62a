"""General students from plain text."""
