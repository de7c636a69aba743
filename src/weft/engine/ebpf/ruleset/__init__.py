"""The text of Weft's nftables table, from its rows. Pure.

`transaction` puts it together: chains, which are the same on all hosts but for a few words, and
sets and maps, which the rows fill.
"""
