"""Published ports for clients of the family that the workload has no address of.

A process of its own, so that bulk traffic never holds up weftd, and so that connections outlive it:
when weftd ends, the process takes nothing new and ends with its last connection.
"""
