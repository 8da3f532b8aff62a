"""The training loop, its optimizer, batches and snapshots."""
