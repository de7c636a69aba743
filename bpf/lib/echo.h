/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Ping of a gateway, which exists nowhere else than here. A fragmented request is answered fragment
 * by fragment: the payload is the same, and the checksum changes by the type alone. */
#ifndef WEFT_ECHO_H
#define WEFT_ECHO_H

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "deliver.h"
#include "packet.h"

#define ECHO_HOP_LIMIT	64
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

static __always_inline int answer_echo4(struct packet *packet)
{
	__be32 addresses[2] = { packet->destination.words_be[3], packet->source.words_be[3] };
	__u8 hop_limit = ECHO_HOP_LIMIT;

	if (turn_macs(packet) || turn_type(packet, ICMP_REQUEST, ICMP_RESPONSE) ||
	    bpf_l3_csum_replace(packet->skb, ETH_HLEN + offsetof(struct iphdr, check),
				bpf_htons(packet->hop_limit << 8), bpf_htons(hop_limit << 8), 2) ||
	    bpf_skb_store_bytes(packet->skb, ETH_HLEN + offsetof(struct iphdr, ttl), &hop_limit,
				sizeof(hop_limit), 0) ||
	    bpf_skb_store_bytes(packet->skb, ETH_HLEN + offsetof(struct iphdr, saddr), addresses,
				sizeof(addresses), 0))
		return drop(packet, DROP_KERNEL);
	return deliver_to_sender(packet);
}

static __always_inline int answer_echo6(struct packet *packet)
{
	struct address addresses[2] = { packet->destination, packet->source };
	__u8 hop_limit = ECHO_HOP_LIMIT;

	if (turn_macs(packet) || turn_type(packet, ICMPV6_REQUEST, ICMPV6_RESPONSE) ||
	    bpf_skb_store_bytes(packet->skb, ETH_HLEN + offsetof(struct ipv6hdr, hop_limit),
				&hop_limit, sizeof(hop_limit), BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_store_bytes(packet->skb, ETH_HLEN + offsetof(struct ipv6hdr, saddr), addresses,
				sizeof(addresses), 0))
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
			return answer_echo6(packet);
		return NEXT;
	}
	if (packet->protocol != IPPROTO_ICMP)
		return NEXT;
	if (packet->is_later_fragment)
		return answer_echo4(packet);
	if (packet->l4 + sizeof(struct icmp) > packet->end ||
	    bpf_skb_load_bytes(packet->skb, packet->l4, &type, sizeof(type)))
		return drop(packet, DROP_MALFORMED);
	return type == ICMP_REQUEST ? answer_echo4(packet) : NEXT;
}

#endif
