"""What weftd must know of the machine that it runs on, as records and as answers to control."""
