"""Which recordings there are, and the metadata of each."""
