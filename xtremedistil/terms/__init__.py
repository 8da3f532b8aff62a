"""What a student learns, as data: matches of tensors, soft labels, labels."""
