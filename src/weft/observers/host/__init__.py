"""What this machine is: its underlay, its own prefixes, its keys."""
