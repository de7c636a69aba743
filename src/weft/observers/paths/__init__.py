"""Watches the data path between hosts: does it carry packets, and how large."""
