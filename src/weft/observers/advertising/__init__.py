"""Tells ports of routers, prefixes, MTU and resolvers by IPv6 router advertisements."""
