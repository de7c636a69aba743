"""From Docker's names to DNS's: what DNS cannot carry is left out, never an error."""

from __future__ import annotations

from collections.abc import Iterable

from weft.control.references import check_dns_names
from weft.errors import InvalidError


def dns_names(names: Iterable[str]) -> tuple[str, ...]:
    """Those of `names` that can be looked up, in lower case, each once, in order."""
    found: dict[str, None] = {}
    for name in names:
        try:
            found.update(dict.fromkeys(check_dns_names((name,))))
        except InvalidError:
            continue
    return tuple(found)
