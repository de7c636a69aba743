/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Broadcast and multicast: a copy for every port of the network but the sender's, one for every other
 * host that has a port on it, and for nobody else. Where the network snoops, multicast has members, and
 * goes to them alone. */
#ifndef WEFT_FLOOD_H
#define WEFT_FLOOD_H

#include "../maps.h"
#include "ask.h"
#include "count.h"
#include "flood_ports.h"
#include "multicast.h"
#include "packet.h"
#include "parse.h"
#include "replicate.h"

static __noinline int flood_snooping(struct packet *packet)
{
	int verdict = handle_membership(packet);

	return verdict != NEXT ? verdict : flood_to_members(packet);
}

static __always_inline int flood_packet(struct packet *packet)
{
	const struct network *network = bpf_map_lookup_elem(&networks_v1, &packet->vni);
	int verdict;

	if (!network)
		return drop(packet, DROP_NO_ROUTE);
	flood_to_all(packet);
	if (network->flags & NETWORK_SNOOPS) {
		verdict = flood_snooping(packet);
		if (verdict != NEXT)
			return verdict;
	}
	if (network->flags & NETWORK_JUDGES && !packet->is_judged) {
		ask(packet, FLOW_LEAVES);
		return COPIES;
	}
	flood_ports(packet, network);
	if (has_replicas(packet))
		replicate(packet);
	return TC_ACT_SHOT; /* the copies went out; this one is spent */
}

/* `is_judged`: the judged ports of this host have their copies. */
__cold_stage int flood(struct __sk_buff *skb, __u32 vni, __u32 is_judged)
{
	struct packet packet = {
		.skb = skb,
		.ifindex = skb->ifindex,
		.vni = vni,
		.is_judged = is_judged,
	};
	int verdict = parse(&packet);

	return verdict == NEXT ? flood_packet(&packet) : verdict;
}

/* By unicast, past the flood: a neighbour would take the query for weftd's, and keep its own report back
 * for the sake of another's. */
__cold_stage int handle_unicast_membership(struct __sk_buff *skb, __u32 vni)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex, .vni = vni };
	const struct network *network = bpf_map_lookup_elem(&networks_v1, &vni);
	int verdict;

	if (!network || !(network->flags & NETWORK_SNOOPS))
		return NEXT;
	verdict = parse(&packet);
	return verdict == NEXT ? handle_membership(&packet) : verdict;
}

/* ARP and ND for an address that no record names. */
static __always_inline int flood_unknown(struct packet *packet)
{
	const struct network *network = bpf_map_lookup_elem(&networks_v1, &packet->vni);

	if (network && network->flags & NETWORK_HAS_UNKNOWN)
		return FLOOD;
	return drop(packet, DROP_UNKNOWN_NEIGHBOUR);
}

#endif
