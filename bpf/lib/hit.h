/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The short way of a connection that stands. What its packets show, who sends them and where they go is
 * in its entry, whose key and MACs prove what the long way checks; so they are looked up once, and sent
 * on. Anything unusual goes the long way, with nothing done: fragments, options, other protocols than TCP
 * and UDP, packets that change the state of their flow, are too large, or have no hop left. */
#ifndef WEFT_HIT_H
#define WEFT_HIT_H

#include <linux/tcp.h>

#include "age.h"
#include "ask.h"
#include "count.h"
#include "deliver.h"
#include "encap.h"
#include "flow_state.h"
#include "packet.h"
#include "parse.h"
#include "way.h"

/* The first bytes of a packet, as they lie in it. */
struct glance {
	void *data;
	void *end;
	__u32 place; /* and kind: where it comes from */
	__u32 l4;
	__u8 protocol;
	__u8 kind;
};

/* Whether the header behind IP is there, and changes nothing about its flow. */
static __always_inline bool is_usual(const struct glance *glance, __u32 length)
{
	const struct tcphdr *tcp = glance->data + glance->l4;

	if (glance->protocol == IPPROTO_UDP)
		return length >= L4_SIZE;
	return glance->protocol == IPPROTO_TCP && length >= sizeof(*tcp) &&
	       (void *)(tcp + 1) <= glance->end && !(tcp->syn | tcp->fin | tcp->rst);
}

static __always_inline struct flow *glance_at4(struct __sk_buff *skb, struct glance *glance,
					       struct flow_key4 *key)
{
	const struct iphdr *ip = glance->data + ETH_HLEN;
	const __be16 *ports = (const void *)(ip + 1);
	__u32 length = bpf_ntohs(ip->tot_len);

	if (*(const __u8 *)ip != PLAIN_IPV4 || ip->frag_off & bpf_htons(0x3fff) ||
	    length < sizeof(*ip) || ETH_HLEN + length > skb->len)
		return NULL;
	glance->l4 = ETH_HLEN + sizeof(*ip);
	glance->protocol = ip->protocol;
	if (!is_usual(glance, length - sizeof(*ip)))
		return NULL;
	key->source_be = ip->saddr;
	key->destination_be = ip->daddr;
	key->source_port_be = ports[0];
	key->destination_port_be = ports[1];
	key->place = glance->place;
	key->protocol = ip->protocol;
	key->kind = glance->kind;
	return bpf_map_lookup_elem(&flows4_v1, key);
}

static __always_inline struct flow *glance_at6(struct __sk_buff *skb, struct glance *glance,
					       struct flow_key6 *key)
{
	const struct ipv6hdr *ip = glance->data + ETH_HLEN;
	const __be16 *ports = (const void *)(ip + 1);
	__u32 length;

	if ((void *)(ports + L4_SIZE / 2) > glance->end)
		return NULL;
	length = bpf_ntohs(ip->payload_len);
	if (ip->version != 6 || ETH_HLEN + sizeof(*ip) + length > skb->len)
		return NULL;
	glance->l4 = ETH_HLEN + sizeof(*ip);
	glance->protocol = ip->nexthdr;
	if (!is_usual(glance, length))
		return NULL;
	__builtin_memcpy(&key->source, &ip->saddr, sizeof(key->source));
	__builtin_memcpy(&key->destination, &ip->daddr, sizeof(key->destination));
	key->source_port_be = ports[0];
	key->destination_port_be = ports[1];
	key->place = glance->place;
	key->protocol = ip->nexthdr;
	key->kind = glance->kind;
	return bpf_map_lookup_elem(&flows6_v1, key);
}

static __always_inline bool stands(const struct flow *flow, const struct glance *glance)
{
	const struct ethernet *ethernet = glance->data;
	__u32 lifetime_s =
		glance->protocol == IPPROTO_TCP ? weft.tcp_established_s : weft.udp_established_s;

	return (flow->flags & (FLOW_DENIED | FLOW_SHORT)) == FLOW_SHORT &&
	       flow->state == FLOW_ESTABLISHED &&
	       now() - flow->seen <= lifetime_s * weft.jiffies_per_s &&
	       is_same_mac(&ethernet->destination, &flow->destination_mac) &&
	       (glance->kind == FLOW_ARRIVES || is_same_mac(&ethernet->source, &flow->source_mac));
}

/* The entry of a packet's connection, if that stands. */
static __always_inline struct flow *standing_flow(struct __sk_buff *skb, struct glance *glance)
{
	struct inquiry *inquiry = inquiry_of(skb);
	const struct ethernet *ethernet;
	struct flow *flow = NULL;

	glance->data = LOAD_POINTER(skb, data);
	glance->end = LOAD_POINTER(skb, data_end);
	if (!inquiry || skb->cb[TRACE_TRIAL] == TRIAL ||
	    glance->data + ETH_HLEN + sizeof(struct iphdr) + L4_SIZE > glance->end)
		return NULL;
	ethernet = glance->data;
	if (ethernet->type == bpf_htons(ETH_P_IP))
		flow = glance_at4(skb, glance, &inquiry->key4);
	else if (ethernet->type == bpf_htons(ETH_P_IPV6))
		flow = glance_at6(skb, glance, &inquiry->key6);
	return flow && stands(flow, glance) ? flow : NULL;
}

static __always_inline void count_short(struct __sk_buff *skb, struct flow *flow)
{
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->octets, skb->len);
	if (flow->seen != now())
		flow->seen = now();
}

static __always_inline int send_short(struct packet *packet, __u32 ifindex)
{
	count_received(ifindex, packet->skb->len);
	if (make_own(packet->skb))
		return drop(packet, DROP_KERNEL);
	return redirected(packet, ifindex, bpf_redirect_peer(ifindex, 0));
}

/* From a port of this host. NEXT: the packet takes the long way. */
__stage int take_short_way(struct __sk_buff *skb, const struct port *port)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };
	struct glance glance = { .place = skb->ifindex, .kind = FLOW_LEAVES };
	struct tunnel *tunnel = NULL;
	const struct ethernet *ethernet;
	__u32 generation, target;
	struct front front = {};
	struct flow *flow;
	__u8 hops;

	if (!port || (port->mtu && skb->len > port->mtu + ETH_HLEN && !skb->gso_size))
		return NEXT;
	flow = standing_flow(skb, &glance);
	if (!flow)
		return NEXT;
	generation = generation_of(flow);
	if (flow->generation != generation)
		return NEXT;
	ethernet = glance.data;
	packet.ethertype = ethernet->type;
	packet.protocol = glance.protocol;
	packet.l4 = glance.l4;
	target = flow->target;
	hops = flow->hops;
	if (hops) {
		packet.source_mac = gateway_mac;
		packet.destination_mac = flow->new_destination_mac;
		packet.vni = flow->vni;
		read_front(&front, glance.data);
		if (hop_limit_of(&front, packet.ethertype == bpf_htons(ETH_P_IP)) <= hops ||
		    (flow->mtu && exceeds(&packet, flow->mtu)))
			return NEXT;
	} else {
		packet.source_mac = ethernet->source;
		packet.destination_mac = ethernet->destination;
		packet.vni = port->vni;
	}
	if (flow->flags & FLOW_TUNNELLED) {
		tunnel = tunnel_on(flow->way, target);
		if (!tunnel || exceeds(&packet, tunnel->mtu))
			return NEXT;
	}
	count_short(skb, flow);
	/* What was read of the entry is of this flow, if it still is. */
	if (flow->generation != generation)
		return NEXT;
	if (hops && rewrite_front(&packet, &front, hops))
		return drop(&packet, DROP_KERNEL);
	if (!tunnel)
		return send_short(&packet, target);
	note_use(tunnel);
	return send_by_tunnel(&packet, tunnel);
}

/* From another host, when it is unpacked. NEXT: the packet takes the long way. */
__stage int take_short_way_in(struct __sk_buff *skb, __u32 vni)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };
	struct glance glance = { .place = vni, .kind = FLOW_ARRIVES };
	struct flow *flow = standing_flow(skb, &glance);
	__u32 generation, target;

	if (!flow)
		return NEXT;
	generation = generation_of(flow);
	if (flow->generation != generation || flow->flags & FLOW_TUNNELLED)
		return NEXT;
	target = flow->target;
	count_short(skb, flow);
	if (flow->generation != generation)
		return NEXT;
	return send_short(&packet, target);
}

#endif
