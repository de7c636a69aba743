"""What goes up: kernel facts become this host's own records."""
