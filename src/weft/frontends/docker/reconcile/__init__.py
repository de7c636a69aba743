"""Makes Weft's records and Docker agree.

dockerd killed, weftd killed, calls lost between them, networks made and removed on other hosts:
after any of it, looks at Docker and at the records settle it. Each look is three steps:

    gather.py      asks Docker                            -> facts
    decide.py      facts, records -> actions              pure
    carry_out.py   does what was decided, in the records or in Docker

`looks.py` says when to look and how far, and repeats the steps until nothing is left to do. What is
decided about one thing is a module of its own, pure as well: restore, naming, garbage, leftovers,
containers, mirror.
"""
