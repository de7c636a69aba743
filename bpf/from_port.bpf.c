// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Everything that a workload sends: on the ingress of the host's end of each port's veth. */
#include "maps.h"
#include "lib/arp.h"
#include "lib/count.h"
#include "lib/flood.h"
#include "lib/nd.h"
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/route.h"
#include "lib/spoof.h"
#include "lib/switch.h"
#include "lib/too_big.h"

static __always_inline int refuse(struct packet *packet, const struct port *port)
{
	struct __sk_buff *skb = packet->skb;
	int verdict;

	if (is_vlan(packet) || is_reserved_mac(&packet->destination_mac))
		return drop(packet, DROP_RESERVED);
	if (is_multicast_mac(&packet->source_mac))
		return drop(packet, DROP_SPOOFED_MAC);
	verdict = check_source(packet, port);
	if (verdict == NEXT && port->mtu && skb->len > port->mtu + ETH_HLEN && !skb->gso_size)
		return refuse_size(packet, port->mtu);
	return verdict;
}

static __always_inline int forward(struct packet *packet, const struct port *port)
{
	int verdict = refuse(packet, port);

	if (verdict != NEXT)
		return verdict;
	if (packet->ethertype == bpf_htons(ETH_P_ARP))
		verdict = handle_arp(packet, port);
	else if (is_nd(packet))
		verdict = handle_nd(packet, port);
	if (verdict != NEXT)
		return verdict == FLOOD ? flood(packet) : verdict;
	if (is_multicast_mac(&packet->destination_mac))
		return flood(packet);
	if (!is_same_mac(&packet->destination_mac, &gateway_mac))
		verdict = switch_frame(packet);
	return verdict != NEXT ? verdict : route(packet, port);
}

SEC("tc")
int from_port(struct __sk_buff *skb)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };
	const struct port *port = bpf_map_lookup_elem(&ports_v1, &packet.ifindex);
	int verdict;

	skb->cb[TRACE_TARGET] = 0;
	skb->cb[TRACE_REASON] = DROP_NONE;
	count_sent(&packet);
	if (!port)
		return drop(&packet, DROP_NO_PORT);
	packet.vni = port->vni;
	if (skb->vlan_present)
		return drop(&packet, DROP_RESERVED);
	verdict = parse(&packet);
	return verdict != NEXT ? verdict : forward(&packet, port);
}

char program_license[] SEC("license") = "GPL";
