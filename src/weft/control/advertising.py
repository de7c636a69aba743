"""Which ports get router advertisements of which subnets, as requests say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from weft.control.specs import AdvertisingWord
from weft.errors import InvalidError
from weft.model.addresses import IPNetwork, plain_network
from weft.model.choices import Advertising
from weft.model.records import Subnet


def advertised(
    subnets: Sequence[Subnet], wanted: Mapping[str, AdvertisingWord]
) -> Iterator[Subnet]:
    """Subnets of one network as they shall be. InvalidError: one that is named is none of these, or
    not of IPv6."""
    words = {_prefix(text): Advertising(word) for text, word in wanted.items()}
    of_ipv6 = {subnet.cidr for subnet in subnets if subnet.cidr.version == 6}
    for prefix in words:
        if prefix not in of_ipv6:
            known = ", ".join(sorted(map(str, of_ipv6))) or "none"
            raise InvalidError(
                f"router advertisements: {prefix} is no IPv6 subnet of the network; it has {known}"
            )
    for subnet in subnets:
        word = words.get(subnet.cidr, Advertising.ATTACHED)
        yield replace(subnet, router_advertisements=word)


def words_of(subnets: Sequence[Subnet]) -> dict[str, str]:
    """The opposite: of those that are not as where nothing is said."""
    return {
        str(subnet.cidr): subnet.router_advertisements.value
        for subnet in subnets
        if subnet.router_advertisements is not Advertising.ATTACHED
    }


def _prefix(text: str) -> IPNetwork:
    try:
        return plain_network(text)
    except ValueError as error:
        raise InvalidError(f"router advertisements: {text}: {error}") from error
