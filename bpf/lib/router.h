/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The way between networks, as semantics/routing.py has it: from the router that a packet is sent to, by
 * way of further routers, to the network where it is delivered. No packet travels between routers: the
 * host of its sender follows the whole way. */
#ifndef WEFT_ROUTER_H
#define WEFT_ROUTER_H

#include "../maps.h"
#include "packet.h"

static __always_inline struct routing *routing_of(struct __sk_buff *skb)
{
	__u32 at = skb->cb[TRACE_TRIAL] == TRIAL;

	return bpf_map_lookup_elem(&routings_v1, &at);
}

/* So that the verifier takes packets of all kinds for one, and walks through what follows once: it has
 * learned the one or the other of each by parsing, and here that is of no use. */
static __always_inline void forget_kind(struct packet *packet, struct routing *routing)
{
	routing->l4 = packet->l4;
	routing->packet_end = packet->end;
	routing->ports[0] = packet->source_port;
	routing->ports[1] = packet->destination_port;
	routing->protocol = packet->protocol;
	routing->icmp_type = packet->icmp_type;
	routing->behind_fragment = packet->behind_fragment;
	routing->is_fragment = packet->is_fragment;
	routing->is_later_fragment = packet->is_later_fragment;
	asm volatile("" ::: "memory");
	packet->l4 = routing->l4;
	packet->end = routing->packet_end;
	packet->source_port = routing->ports[0];
	packet->destination_port = routing->ports[1];
	packet->protocol = routing->protocol;
	packet->icmp_type = routing->icmp_type;
	packet->behind_fragment = routing->behind_fragment;
	packet->is_fragment = routing->is_fragment;
	packet->is_later_fragment = routing->is_later_fragment;
}

static __always_inline __u32 mixed(__u32 hash, __u32 word)
{
	hash = (hash ^ word) * 0x9e3779b1;
	return hash ^ hash >> 15;
}

static __always_inline __u32 mixed_address(__u32 hash, const struct address *address)
{
	for (int i = 0; i < 4; i++)
		hash = mixed(hash, address->words_be[i]);
	return hash;
}

/* The one that scores most with the flow (rendezvous hashing): one that comes or goes takes or leaves its
 * own flows, and no other's. */
static __always_inline __u32 chosen_hop(const struct route *route, __u32 flow)
{
	__u32 best = 0, most = 0;

	for (__u32 i = 0; i < ROUTE_HOPS; i++) {
		const struct next_hop *hop = (const void *)&route->hops[i * ROUTE_HOP_WORDS];
		__u32 score = mixed_address(flow, &hop->address) | 1;

		if (i >= route->hop_count)
			break;
		if (score > most) {
			most = score;
			best = i;
		}
	}
	return best;
}

static __always_inline const struct route *route_to(struct routing *routing,
						    const struct address *address)
{
	const struct route *route;

	routing->key.prefixlen = 64 + 128;
	routing->key.table_high = routing->table_high;
	routing->key.table_low = routing->table_low;
	routing->key.address = *address;
	route = bpf_map_lookup_elem(&routes_v1, &routing->key);
	return route && route->family == routing->family ? route : NULL;
}

/* The table for the packet's source; false: there is none. */
static __always_inline bool choose_table(struct routing *routing)
{
	const struct route *route;

	if (!(routing->flags & TABLE_OF_SOURCES))
		return true;
	route = route_to(routing, &routing->source);
	if (!route || route->kind != ROUTE_SOURCE)
		return false;
	routing->table_high = route->table_high;
	routing->table_low = route->table_low;
	return true;
}

/* NEXT: to another router. Else enum route_kind. */
__stage int pass_router(struct __sk_buff *skb)
{
	struct routing *routing = routing_of(skb);
	const struct next_hop *hop;
	const struct route *route;

	if (!routing)
		return ROUTE_NONE;
	routing->routers += 1;
	if (!choose_table(routing))
		return ROUTE_NONE;
	route = route_to(routing, &routing->destination);
	if (!route)
		return ROUTE_NONE;
	routing->mtu = route->mtu;
	if (route->kind == ROUTE_CONNECTED) {
		routing->vni = route->vni;
		routing->next = routing->destination;
		return ROUTE_CONNECTED;
	}
	if (route->kind != ROUTE_VIA)
		return route->kind;
	routing->is_spread |= route->hop_count > 1;
	hop = (const void *)&route
		      ->hops[(route->hop_count > 1 ? chosen_hop(route, routing->flow) : 0) %
			     ROUTE_HOPS * ROUTE_HOP_WORDS];
	routing->vni = hop->vni;
	routing->next = hop->address;
	if (!(hop->flags & NEXT_HOP_ROUTER))
		return ROUTE_VIA;
	if (routing->hop_limit <= 1)
		return ROUTE_EXPIRED;
	routing->hop_limit -= 1;
	routing->at = hop->address;
	routing->table_high = hop->table_high;
	routing->table_low = hop->table_low;
	routing->flags = hop->flags & NEXT_HOP_SOURCES ? TABLE_OF_SOURCES : 0;
	return NEXT;
}

/* Follows the way that `routing_of` asks about. Enum route_kind. */
__stage int find_way(struct __sk_buff *skb)
{
	for (int i = 0; i < ROUTERS_MAX; i++) {
		int kind = pass_router(skb);

		if (kind != NEXT)
			return kind;
	}
	return ROUTE_LOOP;
}

/* What all packets of a flow have in common, of those that have ports at `l4`; 0: it has none. */
static __always_inline __u32 flow_hash(struct __sk_buff *skb, const struct routing *routing,
				       __u8 protocol, __u32 l4)
{
	__u32 hash =
		mixed_address(mixed_address(protocol, &routing->source), &routing->destination);
	__u32 ports = 0;

	if ((protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_SCTP) ||
	    !l4 || bpf_skb_load_bytes(skb, l4, &ports, sizeof(ports)))
		return hash;
	return mixed(hash, ports);
}

/* Where a way begins: with the router that has the MAC, of the gateways' MAC that of the sender's subnet.
 * False: there is none. */
static __always_inline bool begin_at(struct routing *routing, __u32 vni, const struct mac *mac,
				     const struct subnet *subnet)
{
	bool is_ipv4 = is_mapped(&routing->source);
	const struct router *router;

	routing->family = is_ipv4 ? 4 : 6;
	routing->routers = 0;
	routing->at = (struct address){};
	if (subnet && is_same_mac(mac, &gateway_mac)) {
		routing->table_high = subnet->table_high;
		routing->table_low = subnet->table_low;
		routing->flags = subnet->flags;
	} else {
		routing->mac.vni = vni;
		copy_mac(&routing->mac.mac, mac);
		router = bpf_map_lookup_elem(&routers_v1, &routing->mac);
		if (!router)
			return false;
		routing->table_high = is_ipv4 ? router->table4_high : router->table6_high;
		routing->table_low = is_ipv4 ? router->table4_low : router->table6_low;
		routing->flags = is_ipv4 ? router->flags4 : router->flags6;
	}
	return routing->table_high | routing->table_low;
}

#endif
