"""A workload that was told a way to a network, and is then plugged into that network itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.system.workload import NewNetwork, NewWorkload, Weft, until
from weft.api.schema import NetworkInfo

pytestmark = pytest.mark.root


@contextmanager
def joined(weft: Weft, *networks: NetworkInfo) -> Iterator[None]:
    weft("router", "create", "told", *(w for n in networks for w in ("--network", n.name)))
    try:
        yield
    finally:
        weft("router", "rm", "told")


@pytest.mark.parametrize("is_internal", [True, False])
@pytest.mark.parametrize("is_last, is_near_first", [(True, True), (False, True), (False, False)])
def test_what_is_on_the_link_is_not_sent_to_a_router(
    new_network: NewNetwork,
    new_workload: NewWorkload,
    weft: Weft,
    is_last: bool,
    is_near_first: bool,
    is_internal: bool,
) -> None:
    near, far = new_network(is_internal=is_internal), new_network(is_internal=is_internal)
    other = new_workload(far)
    one = new_workload()
    if is_last:
        one.attach(near)
        one.attach(far)
    with joined(weft, near, far):
        for network in () if is_last else (near, far) if is_near_first else (far, near):
            one.attach(network)
        device = "eth1" if is_last or is_near_first else "eth0"
        for address in (other.address4, other.address6):
            chosen = one.run("ip", "route", "get", address)
            assert " via " not in chosen
            assert f"dev {device}" in chosen
            assert one.reaches(address)
        if is_last:
            return
        one.detach(far)
        for address in (other.address4, other.address6):
            assert " via " in one.run("ip", "route", "get", address), "by the router again"
            until("it is reached by the router", lambda address=address: one.reaches(address))  # type: ignore[misc]
