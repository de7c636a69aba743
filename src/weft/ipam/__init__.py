"""Which address of a subnet to give next. No I/O."""
