"""SavedModel that takes text and returns labels."""
