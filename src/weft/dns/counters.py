"""What the DNS server counts. One plain dict: it is touched for every query."""

from __future__ import annotations

from collections.abc import Mapping

MEANINGS: Mapping[str, str] = {
    "queries": "all that was asked, over UDP and TCP",
    "answered": "names of ours, with records",
    "empty": "names of ours that have no record of the type",
    "unknown": "names in our domain or reverse names of ours that there are not",
    "cached": "other names, from the cache",
    "forwarded": "other names, from the host's resolvers, once for all who ask at one time",
    "stale": "other names, from the cache though expired, for no resolver answered",
    "internal": "other names, not resolved for askers on internal networks only",
    "failed": "other names that no resolver answered (SERVFAIL)",
    "waited": "other names, for which the asker had to wait for its turn",
    "limited": "not answered, for more waits already than is the asker's share",
    "malformed": "not understood, or of a kind that is not served",
    "dropped": "not from a port nor from this host: no response",
    "unsent": "responses that could not be sent to the asker",
    "errors": "faults in Weft itself; see the log",
    "upstream_queries": "queries sent to resolvers",
    "upstream_failures": "of these, without an answer that could be used",
}
"""Each counter and its meaning."""


class Counters(dict[str, int]):
    """Counts since the start."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(MEANINGS, 0))
