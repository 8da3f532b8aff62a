"""The terms of a student's loss, as data: matches of tensors, soft labels, gold labels."""
