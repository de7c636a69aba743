"""What the ring reads of the records, so that it knows no store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from weft.model.ids import HostId, SubnetId, derived_id
from weft.model.records import ForgottenHost, LeaseReturn, Record

R = TypeVar("R", bound=Record)


class Records(Protocol):
    """The part of `store.interface.View` that is needed."""

    def get(self, kind: type[R], id: str) -> R | None:
        """The record with this id."""
        ...

    def list(self, kind: type[R]) -> Iterable[R]:
        """All records of a kind."""
        ...

    def by(self, kind: type[R], field: str, value: object) -> Iterable[R]:
        """Records whose `field` is `value`."""
        ...


def blocks_id(subnet_id: SubnetId, host_id: HostId) -> str:
    """Id of what a host says about a subnet's blocks."""
    return derived_id("address-blocks", subnet_id, host_id)


def request_id(subnet_id: SubnetId, host_id: HostId) -> str:
    """Id of a host's request for blocks of a subnet."""
    return derived_id("block-request", subnet_id, host_id)


def vote_id(subject: HostId, voter: HostId) -> str:
    """Id of a host's vote about the lease of another, or its own."""
    return derived_id("lease-vote", subject, voter)


def is_forgotten(view: Records, host_id: HostId | None) -> bool:
    """Whether a host was removed from the cluster for good; None: no host at all was."""
    return host_id is not None and view.get(ForgottenHost, host_id) is not None


def is_returning(view: Records, host_id: HostId) -> bool:
    """Whether a host was restored from a backup and has not heard from its quorum yet."""
    return view.get(LeaseReturn, host_id) is not None
