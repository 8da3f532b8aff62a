"""Text files line by line; encoded rows as arrays; padding."""
