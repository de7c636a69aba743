/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Where routed packets go, nearer at hand than in hashes and tries of prefixes: of a way that simply ends at
 * a port each CPU keeps the end, by who sends to whom. As with near.h weftd raises an edition before and after
 * it changes a map that ways are made from, and what was kept before is over. Ways that depend on more
 * than addresses are not kept; what is unusual takes the long way, with nothing done: fragments,
 * options, queries for names, packets that are too large or have no hop left, and those to be judged. */
#ifndef WEFT_ROUTE_NEAR_H
#define WEFT_ROUTE_NEAR_H

#include "../maps.h"
#include "age.h"
#include "deliver.h"
#include "encap.h"
#include "packet.h"
#include "parse.h"
#include "router.h"
#include "server_address.h"
#include "way.h"

static __always_inline __u32 routes_edition(void)
{
	__u32 first = 0;
	const struct edition *edition = bpf_map_lookup_elem(&routes_edition_v1, &first);

	return edition ? edition->number : 0;
}

/* Before anything is read that the way is made from. */
static __always_inline void begin_search(struct routing *routing)
{
	routing->edition = routes_edition();
	routing->is_spread = false;
}

static __always_inline __u32 folded(const struct address *address)
{
	return bpf_ntohl(address->words_be[0] ^ address->words_be[1] ^ address->words_be[2] ^
			 address->words_be[3]);
}

static __always_inline struct near_route *near_route_of(const struct packet *packet)
{
	__u32 at =
		mixed(mixed(packet->vni, folded(&packet->source)), folded(&packet->destination)) >>
		(32 - NEAR_ROUTE_BITS);

	return bpf_map_lookup_elem(&near_routes_v1, &at);
}

static __always_inline bool is_of_way(const struct near_route *near, const struct packet *packet)
{
	return near->vni == packet->vni && is_same_mac(&near->mac, &packet->destination_mac) &&
	       is_same_address(&near->destination, &packet->destination) &&
	       is_same_address(&near->source, &packet->source);
}

/* A way has been followed to its end. Of a made packet nothing is kept. */
static __always_inline void keep_near(const struct packet *packet, const struct routing *routing,
				      const struct endpoint *endpoint, __u32 vni, __u32 hops,
				      __u32 mtu)
{
	struct near_route *near = near_route_of(packet);

	if (!near || routing->is_spread || packet->skb->cb[TRACE_TRIAL] == TRIAL)
		return;
	near->source = packet->source;
	near->destination = packet->destination;
	near->vni = packet->vni;
	copy_mac(&near->mac, &packet->destination_mac);
	near->hops = hops;
	near->mtu = mtu;
	near->vni_there = vni;
	near->endpoint = *endpoint;
	near->edition = routing->edition & ~1U; /* while it is odd: the one that is over */
}

/* Of what has no unusual header; `front` is what a router changes. */
static __always_inline bool read_usual(struct packet *packet, struct front *front)
{
	void *data = LOAD_POINTER(packet->skb, data), *end = LOAD_POINTER(packet->skb, data_end);
	const struct ethernet *ethernet = data;
	const struct ipv6hdr *ip6 = data + ETH_HLEN;
	const struct iphdr *ip4 = data + ETH_HLEN;
	const __be16 *ports;

	if (data + ETH_HLEN + sizeof(*ip4) + 2 * sizeof(*ports) > end)
		return false;
	packet->ethertype = ethernet->type;
	copy_mac(&packet->destination_mac, &ethernet->destination);
	read_front(front, data);
	if (packet->ethertype == bpf_htons(ETH_P_IP)) {
		if (*(const __u8 *)ip4 != PLAIN_IPV4 || ip4->frag_off & bpf_htons(0x3fff))
			return false;
		packet->protocol = ip4->protocol;
		packet->l4 = ETH_HLEN + sizeof(*ip4);
		packet->source = from_ipv4(ip4->saddr);
		packet->destination = from_ipv4(ip4->daddr);
		ports = (const void *)(ip4 + 1);
	} else {
		ports = (const void *)(ip6 + 1);
		if (packet->ethertype != bpf_htons(ETH_P_IPV6) || (void *)(ports + 2) > end)
			return false;
		packet->protocol = ip6->nexthdr;
		packet->l4 = ETH_HLEN + sizeof(*ip6);
		__builtin_memcpy(&packet->source, &ip6->saddr, sizeof(packet->source));
		__builtin_memcpy(&packet->destination, &ip6->daddr, sizeof(packet->destination));
	}
	if (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP)
		return ports[1] != DNS_PORT;
	return packet->protocol == IPPROTO_ICMP || packet->protocol == IPPROTO_ICMPV6;
}

/* What `forward` leaves to the gateway; its source is checked. NEXT: the packet takes the long way. */
__stage int take_near_route(struct __sk_buff *skb, const struct port *port, __u32 is_judged)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };
	const struct endpoint *endpoint;
	struct tunnel *tunnel = NULL;
	struct near_route *near;
	struct front front = {};
	bool is_ipv4;

	if (!port || skb->cb[TRACE_TRIAL] == TRIAL || !read_usual(&packet, &front))
		return NEXT;
	packet.vni = port->vni;
	is_ipv4 = packet.ethertype == bpf_htons(ETH_P_IP);
	near = near_route_of(&packet);
	if (!near || near->edition != routes_edition() || !is_of_way(near, &packet))
		return NEXT;
	endpoint = &near->endpoint;
	if ((endpoint->flags & ENDPOINT_JUDGED && !is_judged) ||
	    hop_limit_of(&front, is_ipv4) <= near->hops ||
	    (near->mtu && exceeds(&packet, near->mtu)))
		return NEXT;
	if (endpoint->tunnel) {
		tunnel = tunnel_on(endpoint->way, endpoint->tunnel);
		if (!tunnel || exceeds(&packet, tunnel->mtu))
			return NEXT;
	}
	packet.vni = near->vni_there;
	copy_mac(&packet.destination_mac, &endpoint->mac);
	copy_mac(&packet.source_mac, &gateway_mac);
	if (rewrite_front(&packet, &front, near->hops))
		return drop(&packet, DROP_KERNEL);
	if (!tunnel)
		return deliver_to_port(&packet, endpoint);
	note_use(tunnel);
	return send_by_tunnel(&packet, tunnel);
}

#endif
