"""Teachers and students as Keras models."""
