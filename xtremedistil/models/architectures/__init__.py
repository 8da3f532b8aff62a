"""Model families, their sizes, and the BiLSTM that is our own."""
