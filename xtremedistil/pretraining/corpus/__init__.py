"""The corpus: files, token store, rows, masking, batches."""
