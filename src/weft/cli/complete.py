"""What the shell completes: what things are called; quietly nothing when weftd is down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from click.shell_completion import CompletionItem

from weft.errors import WeftError

A = TypeVar("A")
Offer = Callable[[str], list[CompletionItem]]
"""From the beginning of a word to the words that it may become."""

TIMEOUT_S = 1.0
"""A shell that hangs at a tab is worse than one that completes nothing."""


def nouns(noun: str) -> Offer:
    """All of a noun, as its description names them (`api.resources`)."""

    def offer(incomplete: str) -> list[CompletionItem]:
        from weft.api.resources.table import RESOURCES

        resource = next(each for each in RESOURCES if each.noun == noun)
        answer = _answer(resource.listing, resource.plural)
        assert resource.called is not None
        found = resource.items(answer) if answer is not None else ()
        return _items(map(resource.called, found), incomplete)

    return offer


def ports(incomplete: str) -> list[CompletionItem]:
    """Ports by name and by id."""
    from weft.api.schema import PortList

    answer = _answer(PortList, "ports")
    return _items(
        (
            (word, f"{one.network} {', '.join(one.addresses)}")
            for one in (answer.ports if answer is not None else ())
            for word in (*one.names, one.id)
        ),
        incomplete,
    )


def hosts(incomplete: str) -> list[CompletionItem]:
    """Other hosts by name and by id."""
    from weft.api.schema import HostList

    answer = _answer(HostList, "hosts")
    return _items(
        (
            (word, one.state)
            for one in (answer.hosts if answer is not None else ())
            if not one.is_local
            for word in (one.name, one.id)
        ),
        incomplete,
    )


def _answer(form: type[A], what: str) -> A | None:
    """None: weftd does not say."""
    from weft.cli.session import connect

    try:
        return connect(timeout_s=TIMEOUT_S).get(form, what)
    except WeftError:
        return None


def _items(words: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word, help=text) for word, text in words if word.startswith(incomplete)]
