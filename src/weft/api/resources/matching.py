"""Whether what a document wants is so. Documents are as JSON has them; a field that the document
leaves out is not in what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network


def has_all_of(wanted: Mapping[str, object], actual: Mapping[str, object]) -> bool:
    """Field by field; a field that the actual object lacks is null."""
    return all(actual.get(name) == value for name, value in wanted.items())


def if_wanted(wanted: bool, actual: bool) -> bool:
    """What is not wanted may be so all the same."""
    return actual or not wanted


def same_in_any_order(wanted: Sequence[str], actual: Sequence[str]) -> bool:
    """The same words, in whatever order."""
    return sorted(wanted) == sorted(actual)


def same_words(wanted: Sequence[str] | None, actual: Sequence[str] | None) -> bool:
    """In any order; null is something else than none."""
    if wanted is None or actual is None:
        return wanted is actual
    return set(wanted) == set(actual)


def same_advertising(wanted: Mapping[str, str], actual: Mapping[str, str]) -> bool:
    """By prefix, however that is written; ``attached`` is as if nothing was said."""
    try:
        said = {str(ip_network(prefix)): word for prefix, word in wanted.items()}
    except ValueError:
        return False
    return {prefix: word for prefix, word in said.items() if word != "attached"} == actual


def anyhow(wanted: object, actual: object) -> bool:
    """What matters only while something is made."""
    return True


def subnets_fit(
    wanted: Sequence[Mapping[str, object]], actual: Sequence[Mapping[str, object]]
) -> bool:
    """Each one that is wanted is there, and none beyond: but for those of a family of which none is
    named, for these came from the pool."""
    if not wanted:
        return True
    left = list(actual)
    for one in sorted(wanted, key=lambda each: each.get("cidr") is None):
        found = next((each for each in left if _subnet_fits(one, each)), None)
        if found is None:
            return False
        left.remove(found)
    if any(map(_is_ipv6, wanted)):
        return not left
    return all(map(_is_ipv6, left))


def _subnet_fits(wanted: Mapping[str, object], actual: Mapping[str, object]) -> bool:
    if wanted.get("cidr") is None:
        rest = {name: value for name, value in wanted.items() if name != "cidr"}
        return not _is_ipv6(actual) and has_all_of(rest, actual)
    return has_all_of(wanted, actual)


def _is_ipv6(subnet: Mapping[str, object]) -> bool:
    return ":" in str(subnet.get("cidr") or "")
