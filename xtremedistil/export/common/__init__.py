"""What all exports share: the student with rows to compare on, parity, weights by what they do."""
