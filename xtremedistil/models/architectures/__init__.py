"""Model families, their sizes, and this package's BiLSTM."""
