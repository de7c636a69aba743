"""Replication of records from host to host, without a server."""
