"""Tokenizers: loading, encoding, trimming; the one that serving uses needs no transformers."""
