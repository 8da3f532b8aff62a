"""Training on labels only."""
