"""From Docker's names to Weft's and DNS's. Docker takes nearly any text; a name that Weft or DNS
cannot carry is changed into one that they can, or left out, and is never an error."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from weft.control.references import check_dns_names, check_network_name
from weft.errors import InvalidError

_LINE = 255
"""Characters of a name that a record holds (`model.values.Text`)."""
_LABEL = 65536
_LABELS = 256 * 1024
"""All labels of a network together; a record may have four times as much in all."""
MAX_PORT_LABELS = 64
_PORT_LABEL = 1024
_PORT_LABELS = 16 * 1024
"""Every host holds every port."""


def network_name(name: str) -> str:
    """Weft's name for a network of Docker's: the same name or, where Weft does not take it, the
    characters that Weft takes and a digest of the whole. The name comes out alike on every host,
    and never as one that a user gave to another network."""
    try:
        return check_network_name(name)
    except InvalidError:
        left = re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-._")[:50]
        return f"{left or 'network'}-{_digest(name)}"


def one_line(name: str) -> str:
    """A name as records and people can hold it; a name that had to be changed ends with a
    digest."""
    line = "".join(char if char.isprintable() else "\ufffd" for char in name)
    if line == name and len(line) <= _LINE:
        return name
    return f"{line[: _LINE - 15]} ({_digest(name)})"


def labels(given: Mapping[str, str]) -> dict[str, str]:
    """Those that fit into a record: without control characters, and not more than there is room
    for."""
    return _fitting(given, longest=_LABEL, room=_LABELS)


def port_labels(given: Mapping[str, str]) -> dict[str, str]:
    """Those of a container that its ports get, and not more than there is room for: Weft's own
    first, then in the order of their keys."""
    keys = sorted(given, key=lambda key: (not key.startswith("weft."), key))
    found = _fitting(
        {key: given[key] for key in keys if key}, longest=_PORT_LABEL, room=_PORT_LABELS
    )
    return dict(list(found.items())[:MAX_PORT_LABELS])


def _fitting(given: Mapping[str, str], *, longest: int, room: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in given.items():
        size = len(key.encode(errors="replace")) + len(value.encode(errors="replace"))
        is_short = size <= room and max(len(key), len(value)) <= longest
        if is_short and _is_text(key) and _is_text(value):
            found[key] = value
            room -= size
    return found


def _is_text(text: str) -> bool:
    return text.isprintable() or all(char.isprintable() or char in "\t\n\r" for char in text)


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=3).hexdigest()


def dns_names(names: Iterable[str]) -> tuple[str, ...]:
    """Those of `names` that can be looked up, in lower case, each once, in order."""
    found: dict[str, None] = {}
    for name in names:
        try:
            found.update(dict.fromkeys(check_dns_names((name,))))
        except InvalidError:
            continue
    return tuple(found)
