"""Text of others, made fit for a terminal, a table and a line of a log.

Names, labels and reasons come from workloads, engines and other hosts. An escape sequence in one of
them would be obeyed by the reader's terminal, and a line break would forge a line.
"""

from __future__ import annotations

import json


def printable(text: str) -> str:
    r"""Every character that prints nothing of its own as an escape: ``\x1b``, ``\n``, ``\u202e``.

    >>> printable("web\x1b[2J")
    'web\\x1b[2J'
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_lines(text: str) -> str:
    """The same, and lines stay lines."""
    return "\n".join(map(printable, text.split("\n")))


def printable_json(text: str) -> str:
    """JSON that means the same, and that no terminal obeys: JSON itself lets DEL and the newer
    control characters stand."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text
    )


def printable_values(value: object) -> object:
    """Dicts, lists and text as JSON makes them, with all text fit to be shown."""
    match value:
        case str():
            return printable(value)
        case dict():
            return {printable_values(key): printable_values(one) for key, one in value.items()}
        case list():
            return [printable_values(one) for one in value]
    return value


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
