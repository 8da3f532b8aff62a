"""The corpus: files, token store, sequences, masking, batches."""
