"""Who reaches whom among the hosts, from their records. No I/O."""
