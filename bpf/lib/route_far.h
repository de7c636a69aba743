/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* From one network to another: the way is followed (router.h), and the packet delivered where it ends. */
#ifndef WEFT_ROUTE_FAR_H
#define WEFT_ROUTE_FAR_H

#include "icmp_error.h"
#include "packet.h"
#include "parse.h"
#include "route.h"
#include "router.h"

/* At the last router of the way so far. */
static __always_inline int refuse_at(struct packet *packet, const struct routing *routing,
				     enum refusal refusal)
{
	int verdict = refuse_for(packet, refusal);

	if (routing->routers > 1)
		packet->skb->cb[REFUSAL] |= REFUSED_FURTHER_ON;
	return verdict;
}

/* To whoever has the address where the way ends. Only there the packet is on another network. */
static __always_inline int end_way(struct packet *packet, const struct routing *routing)
{
	struct address_key key = { .vni = routing->vni, .address = routing->next };
	const struct endpoint *endpoint = bpf_map_lookup_elem(&addresses_v1, &key);
	__u32 hops = packet->hop_limit - routing->hop_limit + 1;
	int verdict;

	if (!endpoint)
		return refuse_at(packet, routing, REFUSED_ADDRESS);
	if (endpoint->flags & ENDPOINT_GATEWAY) {
		verdict = handle_echo(packet);
		return verdict != NEXT ? verdict : drop(packet, DROP_UNKNOWN_ADDRESS);
	}
	if (endpoint->flags & ENDPOINT_HOST || (!endpoint->tunnel && !endpoint->ifindex))
		return refuse_at(packet, routing, REFUSED_ADDRESS);
	if (routing->hop_limit <= 1)
		return refuse_at(packet, routing, REFUSED_HOP_LIMIT);
	if (routing->mtu && exceeds(packet, routing->mtu))
		return refuse_size(packet, routing->mtu);
	if (must_ask(packet, endpoint))
		return ask(packet, FLOW_LEAVES);
	keep_near(packet, routing, endpoint, key.vni, hops, routing->mtu);
	if (age(packet, hops))
		return drop(packet, DROP_KERNEL);
	packet->vni = key.vni;
	if (endpoint->tunnel)
		return send_to_host(packet, endpoint, true);
	return send_to_port(packet, endpoint);
}

/* Where a way begins: at the router that the packet was sent to. False: it was sent to none. */
__stage int begin_way(struct __sk_buff *skb, __u32 vni)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex, .vni = vni };
	struct routing *routing = routing_of(skb);

	if (!routing || parse(&packet) != NEXT)
		return false;
	routing->source = packet.source;
	routing->destination = packet.destination;
	routing->hop_limit = packet.hop_limit;
	if (!begin_at(routing, vni, &packet.destination_mac, subnet_of(&packet, &packet.source)))
		return false;
	routing->flow =
		flow_hash(skb, routing, packet.protocol, packet.is_fragment ? 0 : packet.l4);
	return true;
}

/* FAR: the router knows no way, so that it is the host's, if anybody's. */
static __always_inline int end_of(struct packet *packet, const struct routing *routing, int kind)
{
	switch (kind) {
	case ROUTE_CONNECTED:
	case ROUTE_VIA:
		return end_way(packet, routing);
	case ROUTE_NONE:
		return routing->routers <= 1 ? FAR : refuse_at(packet, routing, REFUSED_NO_ROUTE);
	case ROUTE_UNREACHABLE:
		return refuse_at(packet, routing, REFUSED_ADDRESS);
	case ROUTE_EXPIRED:
	case ROUTE_LOOP:
		return refuse_at(packet, routing, REFUSED_HOP_LIMIT);
	}
	return drop(packet, DROP_NO_ROUTE);
}

/* What `route` leaves to a router; it is called where there is stack left for it. NEXT: no router
 * decides. FAR: one does, and knows no way. */
__stage int route_far(struct __sk_buff *skb, const struct port *port, __u32 is_judged)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex, .is_judged = is_judged };
	struct routing *routing = routing_of(skb);
	int kind, verdict;

	if (!port || !routing)
		return TC_ACT_SHOT;
	packet.vni = port->vni;
	if (!begin_way(skb, packet.vni))
		return NEXT;
	kind = find_way(skb);
	verdict = parse(&packet);
	if (verdict != NEXT)
		return verdict;
	forget_kind(&packet, routing);
	return end_of(&packet, routing, kind);
}

#endif
