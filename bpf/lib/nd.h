/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Neighbour discovery (RFC 4861), answered from the records, link-local addresses included: they
 * follow from the MACs. */
#ifndef WEFT_ND_H
#define WEFT_ND_H

#include "answer.h"
#include "deliver.h"
#include "flood.h"
#include "multicast.h"
#include "neighbour.h"
#include "packet.h"
#include "parse.h"
#include "spoof.h"

#define ND_RA	    134
#define ND_NA	    136
#define ND_REDIRECT 137

#define ND_SOURCE_MAC 1
#define ND_TARGET_MAC 2

#define ND_ROUTER    0x80
#define ND_SOLICITED 0x40
#define ND_OVERRIDE  0x20

#define ND_OPTIONS_MAX 8
#define ND_HOP_LIMIT   255

struct nd_message {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__u8 flags;
	__u8 reserved[3];
	struct address target;
};

struct nd_mac_option {
	__u8 type;
	__u8 length; /* in units of 8 bytes */
	struct mac mac;
};

#define ND_ANSWER_SIZE (sizeof(struct nd_message) + sizeof(struct nd_mac_option))

static __always_inline bool is_nd(const struct packet *packet)
{
	return packet->icmp_type >= ND_RS && packet->icmp_type <= ND_REDIRECT;
}

/* MACs in the options must be that which the frame comes from. The reason why not, or DROP_NONE. */
__cold_stage int check_nd_options(struct __sk_buff *skb, __u32 first, __u32 end)
{
	struct mac source;

	if (bpf_skb_load_bytes(skb, offsetof(struct ethernet, source), &source, sizeof(source)))
		return DROP_MALFORMED;
	for (int i = 0; i < ND_OPTIONS_MAX; i++) {
		struct nd_mac_option option;

		if (first == end)
			return DROP_NONE;
		if (first + sizeof(option) > end ||
		    bpf_skb_load_bytes(skb, first, &option, sizeof(option)) || !option.length)
			break;
		if ((option.type == ND_SOURCE_MAC || option.type == ND_TARGET_MAC) &&
		    !is_same_mac(&option.mac, &source))
			return DROP_SPOOFED_MAC;
		first += option.length * 8;
	}
	return first == end ? DROP_NONE : DROP_MALFORMED;
}

static __always_inline int check_nd(struct packet *packet, const struct port *port,
				    const struct nd_message *message)
{
	/* Options begin behind the target, in a router solicitation where the target would be. */
	__u32 options = packet->l4 + (packet->icmp_type == ND_RS ? 8 : sizeof(*message));
	enum drop_reason reason = DROP_NONE;

	if (packet->icmp_type == ND_RA || packet->icmp_type == ND_REDIRECT)
		return drop(packet, DROP_RESERVED);
	if (packet->icmp_type == ND_NA)
		reason = check_sender(packet, port, &message->target);
	if (reason == DROP_NONE)
		reason = check_nd_options(packet->skb, options, packet->end);
	return reason == DROP_NONE ? NEXT : drop(packet, reason);
}

/* Who is asked for. */
struct neighbour {
	struct mac mac;
	bool is_router;
};

/* An advertisement to who asked, or to all when nobody in particular did (DAD, 7.2.4). */
static __always_inline int answer_ns(struct packet *packet, const struct nd_message *question,
				     const struct neighbour *neighbour)
{
	const struct mac *mac = &neighbour->mac;
	bool is_probe = is_zero_address(&packet->source);
	struct {
		struct answer6 head;
		struct nd_message message;
		struct nd_mac_option option;
	} answer = {
		.head = begin_answer6(packet, mac, &question->target, ND_ANSWER_SIZE),
		.message = {
			.type = ND_NA,
			.flags = (neighbour->is_router ? ND_ROUTER : 0) | (is_probe ? 0 : ND_SOLICITED) |
				 ND_OVERRIDE,
			.target = question->target,
		},
		.option = {.type = ND_TARGET_MAC, .length = 1, .mac = *mac},
	};
	__u32 size = ETH_HLEN + sizeof(struct ipv6hdr) + ND_ANSWER_SIZE;

	answer.head.hop_limit = ND_HOP_LIMIT;
	if (is_probe) { /* ff02::1 */
		answer.head.destination =
			(struct address){ { bpf_htonl(0xff020000), 0, 0, bpf_htonl(1) } };
		answer.head.ethernet.destination =
			(struct mac){ { bpf_htons(0x3333), bpf_htons(0), bpf_htons(1) } };
	}
	answer.message.checksum = checksum6(&answer.head, ND_ANSWER_SIZE, 0);
	if (bpf_skb_change_tail(packet->skb, size, 0) ||
	    bpf_skb_store_bytes(packet->skb, 0, &answer.head.ethernet, size, 0))
		return drop(packet, DROP_KERNEL);
	return deliver_to_sender(packet);
}

/* A link-local address belongs to the port whose MAC it is made from. */
static __always_inline int find_link_local(struct packet *packet, const struct address *target,
					   struct neighbour *neighbour)
{
	struct mac_key key = { .vni = packet->vni };
	const struct endpoint *endpoint;

	if (!mac_of_link_local(target, &key.mac))
		return flood_unknown(packet);
	copy_mac(&neighbour->mac, &key.mac);
	if (is_same_mac(&key.mac, &gateway_mac)) {
		neighbour->is_router = true;
		return NEXT;
	}
	endpoint = bpf_map_lookup_elem(&macs_v1, &key);
	if (!endpoint)
		return flood_unknown(packet);
	return endpoint->ifindex == packet->ifindex ? absorb() : NEXT;
}

/* NEXT: it is to be told. */
static __always_inline int find_neighbour(struct packet *packet, const struct address *target,
					  struct neighbour *neighbour)
{
	struct address_key key = { .vni = packet->vni, .address = *target };
	const struct endpoint *endpoint = bpf_map_lookup_elem(&addresses_v1, &key);

	if (!endpoint)
		return is_link_local(target) ? find_link_local(packet, target, neighbour)
					     : flood_unknown(packet);
	if (endpoint->ifindex == packet->ifindex)
		return absorb();
	neighbour->is_router = endpoint->flags & ENDPOINT_GATEWAY;
	copy_mac(&neighbour->mac, &endpoint->mac);
	return NEXT;
}

static __always_inline int handle_solicitation(struct packet *packet,
					       const struct nd_message *question)
{
	struct neighbour neighbour = {};
	int verdict = find_neighbour(packet, &question->target, &neighbour);

	return verdict == NEXT ? answer_ns(packet, question, &neighbour) : verdict;
}

/* What is no solicitation, or is sent to a port's own MAC, goes on as any packet does. */
static __always_inline int discover(struct packet *packet, const struct port *port)
{
	bool is_to_gateway = is_to_router(packet);
	struct nd_message message = {};
	__u32 size = packet->icmp_type == ND_RS ? 8 : sizeof(message);
	int verdict;

	/* RFC 4861 6.1, 7.1: off-link packets are no discovery; RFC 6980: nor are fragments. */
	if (packet->hop_limit != ND_HOP_LIMIT || packet->is_fragment ||
	    packet->l4 + size > packet->end ||
	    bpf_skb_load_bytes(packet->skb, packet->l4, &message, 8) ||
	    (size > 8 && bpf_skb_load_bytes(packet->skb, packet->l4 + 8, &message.target,
					    sizeof(message.target))))
		return drop(packet, DROP_MALFORMED);
	if (is_checked(port)) {
		verdict = check_nd(packet, port, &message);
		if (verdict != NEXT)
			return verdict;
	}
	if (packet->icmp_type == ND_NS &&
	    (is_to_gateway || is_multicast_mac(&packet->destination_mac)))
		return handle_solicitation(packet, &message);
	if (packet->icmp_type == ND_RS && port->flags & PORT_ADVERTISED)
		return SOLICITATION;
	return is_to_gateway ? absorb() : NEXT;
}

__cold_stage int handle_nd(struct __sk_buff *skb, const struct port *port)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };
	int verdict;

	if (!port)
		return TC_ACT_SHOT;
	packet.vni = port->vni;
	verdict = parse(&packet);
	return verdict == NEXT ? discover(&packet, port) : verdict;
}

/* weftd answers (RFC 4861 6.2.6). */
__cold_stage int report_solicitation(struct __sk_buff *skb)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };

	return report_to_weftd(&packet, bpf_htons(SOLICITATION_TYPE));
}

#endif
