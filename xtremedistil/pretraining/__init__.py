"""Small general models: pre-training by distillation."""
