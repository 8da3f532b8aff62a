"""A teacher with another tokenizer: what it says of a word, given to the student's first piece of that word."""


def aligned_name(prefix: str) -> str:
    """In a batch: 1 where the student's position has a counterpart in the rows of the teacher of that prefix."""
    return f"{prefix}aligned"
