"""What every engine needs on a host, however its packets are forwarded.

Devices of ports, the pair that joins the host to its networks, addresses, routes and rules of the
host, its settings, WireGuard, and a way through firewalls of others. Nothing here knows an engine.
"""
