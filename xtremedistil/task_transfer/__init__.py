"""A source task's student, reused on a target task."""
