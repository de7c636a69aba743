"""The drivers of the tables of the plumbing: how rows become true, and are read back."""
