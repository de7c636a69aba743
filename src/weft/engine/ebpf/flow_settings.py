"""Settings about flows, as the programs know them."""

from __future__ import annotations

from weft.config import Settings
from weft.kernel.bpf.flow_limits import FlowLimits


def flow_limits(settings: Settings) -> FlowLimits:
    """How long flows are remembered, and how many of one port."""
    return FlowLimits(
        tcp_new_s=settings.flow_tcp_new_s,
        tcp_established_s=settings.flow_tcp_established_s,
        tcp_closing_s=settings.flow_tcp_closing_s,
        tcp_closed_s=settings.flow_tcp_closed_s,
        udp_new_s=settings.flow_udp_new_s,
        udp_established_s=settings.flow_udp_established_s,
        icmp_s=settings.flow_icmp_s,
        other_s=settings.flow_other_s,
        denied_s=settings.flow_denied_s,
        flows_of_port=settings.flows_per_port,
    )
