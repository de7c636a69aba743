"""What follows from records, apart from how it is made true. No I/O."""
