"""The drivers of the tables of the ebpf engine: how rows become true, and are read back."""
