"""Distil big pre-trained transformers into small students, on TensorFlow and Keras."""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
