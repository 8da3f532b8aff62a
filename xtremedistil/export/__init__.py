"""Students in the forms that people deploy."""
