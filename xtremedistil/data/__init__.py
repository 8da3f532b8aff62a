"""Reads text files line by line; keeps encoded rows as arrays; pads them."""
