"""Teacher outputs: cached on disk, computed live, or read from a file."""
