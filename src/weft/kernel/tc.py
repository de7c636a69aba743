"""The clsact hook of a device and the BPF program on it.

Always the same priority and handle: a replace without them adds a second filter instead. clsact
rather than tcx on ports, although tcx passes a packet on a little faster: to put a program on tcx
the kernel waits a grace period under its one network lock, and so it does when a device goes that
has one on it, for each device by itself even where many go at once.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from weft.kernel.netlink import (
    NLM_F_CREATE,
    Netlink,
    Request,
    attribute_text,
    attribute_u32,
    attributes,
    nested,
)

_RTM_NEWQDISC = 36
_RTM_DELQDISC = 37
_RTM_NEWTFILTER = 44
_RTM_DELTFILTER = 45
_RTM_GETTFILTER = 46
_TCA_KIND = 1
_TCA_OPTIONS = 2
_TCA_BPF_FD = 6
_TCA_BPF_NAME = 7
_TCA_BPF_FLAGS = 8
_TCA_BPF_ID = 11
_TCA_BPF_FLAG_ACT_DIRECT = 1
_CLSACT_HANDLE = 0xFFFF0000
_CLSACT_PARENT = 0xFFFFFFF1
_PARENTS = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
_PRIORITY = 1
_HANDLE = 1
_INFO = _PRIORITY << 16 | socket.htons(0x0003)  # ETH_P_ALL
_TCMSG = struct.Struct("=BxxxiIII")


class Filter(NamedTuple):
    """The program that runs on a hook: the kernel's id for it and the name it was given."""

    program_id: int
    name: str


class Hook(NamedTuple):
    """A place on a device: `direction` is ``ingress`` or ``egress``."""

    ifindex: int
    direction: str = "ingress"


def add_clsact(ifindex: int) -> Request:
    """Give a device its hooks. Nothing happens if it has them."""
    body = _TCMSG.pack(0, ifindex, _CLSACT_HANDLE, _CLSACT_PARENT, 0)
    body += attribute_text(_TCA_KIND, "clsact")
    return Request(f"add clsact to device {ifindex}", _RTM_NEWQDISC, NLM_F_CREATE, body)


def delete_clsact(ifindex: int) -> Request:
    """Take the hooks of a device away, with all that runs on them."""
    body = _TCMSG.pack(0, ifindex, _CLSACT_HANDLE, _CLSACT_PARENT, 0)
    return Request(f"delete clsact of device {ifindex}", _RTM_DELQDISC, 0, body)


def has_filters(netlink: Netlink, ifindex: int) -> bool:
    """Whether any program, of anybody's, runs on a device's clsact hooks."""
    return any(
        netlink.dump(
            Request(
                f"list filters of device {ifindex}",
                _RTM_GETTFILTER,
                0,
                _TCMSG.pack(0, ifindex, 0, parent, 0),
            )
        )
        for parent in _PARENTS.values()
    )


def replace_filter(hook: Hook, program_fd: int, name: str) -> Request:
    """Run a program on a hook, in place of the one there: no packet passes in between."""
    options = nested(
        _TCA_OPTIONS,
        attribute_u32(_TCA_BPF_FD, program_fd),
        attribute_text(_TCA_BPF_NAME, name),
        attribute_u32(_TCA_BPF_FLAGS, _TCA_BPF_FLAG_ACT_DIRECT),
    )
    what = f"attach program {name} to device {hook.ifindex}"
    return Request(what, _RTM_NEWTFILTER, NLM_F_CREATE, _filter(hook) + options)


def delete_filter(hook: Hook) -> Request:
    """Take the program off a hook. ENOENT: it is gone already."""
    return Request(f"detach program from device {hook.ifindex}", _RTM_DELTFILTER, 0, _filter(hook))


def filters(netlink: Netlink, hooks: Sequence[Hook]) -> dict[Hook, Filter]:
    """Which program runs on each of the hooks; a hook without one is left out."""
    requests = [Request("look up a filter", _RTM_GETTFILTER, 0, _filter(hook)) for hook in hooks]
    found: dict[Hook, Filter] = {}
    for hook, answer in zip(hooks, netlink.run(requests)):
        if answer.error is None:
            options = attributes(attributes(answer.body, 20)[_TCA_OPTIONS])
            name = options.get(_TCA_BPF_NAME, b"").rstrip(b"\0").decode(errors="replace")
            found[hook] = Filter(int.from_bytes(options.get(_TCA_BPF_ID, b""), "little"), name)
        elif answer.error.errno not in (errno.ENOENT, errno.EINVAL, errno.ENODEV):
            raise answer.error
    return found


def _filter(hook: Hook) -> bytes:
    parent = _PARENTS[hook.direction]
    return _TCMSG.pack(0, hook.ifindex, _HANDLE, parent, _INFO) + attribute_text(_TCA_KIND, "bpf")
