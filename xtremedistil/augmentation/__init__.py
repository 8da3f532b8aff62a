"""More unlabelled text, made from the text there is."""
