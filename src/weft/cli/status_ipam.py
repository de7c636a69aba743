"""``weft status ipam``: who owns which addresses, how much is free, what is fenced."""

from __future__ import annotations

import time

import click

from weft.api.schema import IpamInfo, LeaseInfo, ShareInfo
from weft.cli.output import duration_text, json_option, print_json, print_table
from weft.cli.session import connect

SHOWN_BLOCKS = 4
"""More of one host in one subnet are counted, not named."""
LARGE = 10**9
"""Larger counts are said as a power of two."""


@click.command()
@json_option
def ipam(as_json: bool) -> None:
    """Show which host owns which addresses, how much is free, and what is fenced.

    \b
    Examples:
      weft status ipam
      weft status ipam --json
    """
    answer = connect().get(IpamInfo, "ipam")
    if as_json:
        print_json(answer)
        return
    rows = []
    for subnet in answer.subnets:
        label = f"{subnet.cidr}\n{subnet.network or 'pool, no network yet'}"
        for share in subnet.shares:
            rows.append([label, *_share_cells(share)])
            label = ""
        if not subnet.shares:
            rows.append([label, "-", "not known yet", "", "", ""])
    print_table(
        ["SUBNET", "HOST", "BLOCKS", "ADDRESSES", "FREE", "RESERVE"],
        rows,
        right=["ADDRESSES", "FREE", "RESERVE"],
    )
    click.echo()
    print_table(
        ["HOST", "LEASE QUORUM", "LEASE"],
        [[lease.host, ", ".join(lease.quorum), _lease_text(lease)] for lease in answer.leases],
    )


def _share_cells(share: ShareInfo) -> list[str]:
    shown = list(share.blocks[:SHOWN_BLOCKS])
    if len(share.blocks) > SHOWN_BLOCKS:
        shown.append(f"and {len(share.blocks) - SHOWN_BLOCKS} more")
    count = _count_text(share.address_count)
    if share.coming_count:
        count += f"\n{_count_text(share.coming_count)} on the way"
    reserve = _count_text(share.reserve_count)
    return [share.host, "\n".join(shown), count, _count_text(share.free_count), reserve]


def _count_text(count: int) -> str:
    return str(count) if count < LARGE else f"2^{(count + 1).bit_length() - 1}"


def _lease_text(lease: LeaseInfo) -> str:
    now_s = time.time()
    text: str = lease.state
    if lease.since_s is not None:
        text += f" for {duration_text(max(0.0, now_s - lease.since_s))}"
    if lease.until_s is not None:
        left_s = lease.until_s - now_s
        text += f", until {duration_text(left_s)} from now" if left_s > 0 else ", until any moment"
    return f"{text}: {lease.reason}" if lease.reason else text
