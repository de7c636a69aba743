/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Ping of a gateway, which exists nowhere else than here. A fragmented request is answered fragment
 * by fragment: the payload is the same, and the checksum changes by the type alone. */
#ifndef WEFT_ECHO_H
#define WEFT_ECHO_H

#include "answer.h"
#include "deliver.h"
#include "packet.h"

#define ICMP_REQUEST	8
#define ICMP_RESPONSE	0
#define ICMPV6_REQUEST	128
#define ICMPV6_RESPONSE 129

struct icmp {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 identifier;
	__be16 sequence;
};

static __always_inline int turn_macs(struct packet *packet)
{
	struct mac macs[2] = { packet->source_mac, gateway_mac };

	return bpf_skb_store_bytes(packet->skb, 0, macs, sizeof(macs), 0);
}

/* The checksum covers the first 16 bits, type and code, as one number. */
static __always_inline int turn_type(struct packet *packet, __u8 request, __u8 reply)
{
	if (packet->is_later_fragment)
		return 0;
	return bpf_l4_csum_replace(packet->skb, packet->l4 + offsetof(struct icmp, checksum),
				   bpf_htons(request << 8), bpf_htons(reply << 8), 2) ||
	       bpf_skb_store_bytes(packet->skb, packet->l4, &reply, sizeof(reply), 0);
}

static __always_inline int answer_echo(struct packet *packet, __u8 request, __u8 reply)
{
	bool is_ipv6 = packet->ethertype == bpf_htons(ETH_P_IPV6);

	if (turn_macs(packet) || turn_type(packet, request, reply) ||
	    turn_ip(packet->skb, is_ipv6, packet->hop_limit, &packet->destination, &packet->source))
		return drop(packet, DROP_KERNEL);
	return deliver_to_sender(packet);
}

/* Answers a request, lets everything else go on. */
static __noinline int handle_echo(struct packet *packet)
{
	__u8 type;

	if (packet->ethertype == bpf_htons(ETH_P_IPV6)) {
		if (packet->protocol == IPPROTO_ICMPV6 &&
		    (packet->is_later_fragment || packet->icmp_type == ICMPV6_REQUEST))
			return answer_echo(packet, ICMPV6_REQUEST, ICMPV6_RESPONSE);
		return NEXT;
	}
	if (packet->protocol != IPPROTO_ICMP)
		return NEXT;
	if (packet->is_later_fragment)
		return answer_echo(packet, ICMP_REQUEST, ICMP_RESPONSE);
	if (packet->l4 + sizeof(struct icmp) > packet->end ||
	    bpf_skb_load_bytes(packet->skb, packet->l4, &type, sizeof(type)))
		return drop(packet, DROP_MALFORMED);
	if (type != ICMP_REQUEST)
		return NEXT;
	return answer_echo(packet, ICMP_REQUEST, ICMP_RESPONSE);
}

#endif
