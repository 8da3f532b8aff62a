"""Hidden states, attention maps and other inner tensors of an encoder, by name."""
