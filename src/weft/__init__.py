"""Weft: one network for containers, VMs and bare metal."""

__version__ = "0.1.0"
