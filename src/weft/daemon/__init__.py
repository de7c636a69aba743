"""weftd: wires the parts together and runs them until told to stop. Nobody imports it.

    settings -> records -> forwarding -> intents -> observing, answering

Each module of the second line makes some of the parts; `parts.py` is the table of all of them.
Stopping, even by SIGKILL, leaves all that forwards in the kernel; the next start finds it.
"""
