/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Packets that do not get where they are for: the sender is told by ICMP (RFC 792, 1812) or ICMPv6 (RFC
 * 4443), made in place of the packet. */
#ifndef WEFT_ICMP_ERROR_H
#define WEFT_ICMP_ERROR_H

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "answer.h"
#include "deliver.h"
#include "limit.h"
#include "packet.h"
#include "parse.h"
#include "router.h"

#define ANSWERS_BURST	50
#define ANSWER_EVERY_NS 5000000 /* 200 a second for each sender */

/* Why. */
enum refusal {
	REFUSED_SIZE = 0,  /* larger than the way ahead carries */
	REFUSED_HOP_LIMIT, /* it has run out */
	REFUSED_NO_ROUTE,  /* no router knows the way */
	REFUSED_ADDRESS,   /* nobody has the address */
	REFUSED_ISOLATED,  /* as REFUSED_NO_ROUTE: it is in another network, */
	REFUSED_INTERNAL,  /* or outside, where no way leads */
};

enum {
	REFUSAL_SHIFT = 24,	      /* in skb->cb[REFUSAL]; below is the MTU */
	REFUSED_FURTHER_ON = 1 << 30, /* at a router that another one has led to */
	REFUSAL_MTU = (1 << REFUSAL_SHIFT) - 1,
};

#define ICMP_UNREACHABLE 3

struct icmp_error {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 mtu; /* ICMP: 16 unused bits, then the MTU; of other errors 0 */
};

static __always_inline bool is_multicast6(const struct address *address)
{
	return (address->words_be[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
}

/* RFC 1122 3.2.2, RFC 4443 2.4: no errors about errors, about parts or about what many got. */
static __always_inline bool is_answerable(struct packet *packet)
{
	bool is_ipv4 = packet->ethertype == bpf_htons(ETH_P_IP);
	__u32 last = bpf_ntohl(packet->source.words_be[3]);
	__u8 type = 0;

	if (!is_ip(packet) || is_multicast_mac(&packet->destination_mac) ||
	    packet->is_later_fragment)
		return false;
	if (is_ipv4) {
		if (!last || last >> 24 == 127 || last >= 0xe0000000 ||
		    bpf_ntohl(packet->destination.words_be[3]) >= 0xe0000000)
			return false;
	} else if (is_zero_address(&packet->source) || is_multicast6(&packet->source) ||
		   is_multicast6(&packet->destination)) {
		return false;
	}
	if (packet->protocol == IPPROTO_ICMPV6)
		return packet->icmp_type >= 128;
	if (packet->protocol != IPPROTO_ICMP)
		return true;
	if (bpf_skb_load_bytes(packet->skb, packet->l4, &type, sizeof(type)))
		return false;
	/* Unreachable, source quench, redirect, time exceeded, parameter problem. */
	return !(type == 3 || type == 4 || type == 5 || type == 11 || type == 12);
}

/* From the router at which it happened. That is the gateway of the sender's subnet, if it is not one
 * further on; on a relay that does not know the network, or where there is no gateway, from the address
 * that the packet was for. */
static __always_inline struct address answering_address(struct packet *packet, __u32 refusal)
{
	const struct subnet *subnet = subnet_of(packet, &packet->source);
	const struct routing *routing = routing_of(packet->skb);

	if (refusal & REFUSED_FURTHER_ON && routing)
		return routing->at;

	if (subnet && is_mapped(&subnet->gateway) == is_mapped(&packet->source) &&
	    !is_zero_address(&subnet->gateway))
		return subnet->gateway;
	return packet->destination;
}

/* Cuts the packet down to what is quoted; negative: it is shorter than that, or the kernel refused.
 * Else the sum of the quoted bytes. */
static __always_inline __s64 quote(struct packet *packet, __u32 size)
{
	void *data = header_at(packet, ETH_HLEN, size);
	__s64 sum;

	if (!data)
		return -1;
	sum = bpf_csum_diff(NULL, 0, data, size, 0);
	if (sum < 0 || bpf_skb_change_tail(packet->skb, ETH_HLEN + size, 0))
		return -1;
	return sum;
}

static __always_inline __u32 kind_of(__u32 refusal)
{
	return (refusal & ~REFUSED_FURTHER_ON) >> REFUSAL_SHIFT;
}

static __always_inline struct icmp_error error4(__u32 refusal)
{
	struct icmp_error error = { .type = ICMP_UNREACHABLE };

	switch (kind_of(refusal)) {
	case REFUSED_SIZE:
		error.code = 4; /* fragmentation needed */
		error.mtu = bpf_htonl(refusal & REFUSAL_MTU);
		break;
	case REFUSED_HOP_LIMIT:
		error.type = 11; /* time exceeded */
		break;
	case REFUSED_ADDRESS:
		error.code = 1; /* host */
		break;
	}
	return error;
}

static __always_inline struct icmp_error error6(__u32 refusal)
{
	struct icmp_error error = { .type = 1 /* unreachable */ };

	switch (kind_of(refusal)) {
	case REFUSED_SIZE:
		error.type = 2; /* too big */
		error.mtu = bpf_htonl(refusal & REFUSAL_MTU);
		break;
	case REFUSED_HOP_LIMIT:
		error.type = 3; /* time exceeded */
		break;
	case REFUSED_ADDRESS:
		error.code = 3; /* address */
		break;
	}
	return error;
}

/* A header in front of what is quoted. */
static __always_inline int answer_error4(struct packet *packet, __u32 refusal, __u32 quoted)
{
	struct address from = answering_address(packet, refusal);
	struct {
		struct answer4 head;
		struct icmp_error icmp;
	} answer = {
		.head = begin_answer4(packet, &gateway_mac, from.words_be[3],
				      sizeof(struct icmp_error) + quoted),
		.icmp = error4(refusal),
	};
	__u32 room = sizeof(struct iphdr) + sizeof(answer.icmp);
	__s64 sum = quote(packet, quoted);

	if (sum < 0 || bpf_skb_adjust_room(packet->skb, room, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&answer.icmp, sizeof(answer.icmp), sum);
	answer.icmp.checksum = finished(sum);
	return bpf_skb_store_bytes(packet->skb, 0, &answer.head.ethernet, ETH_HLEN + room, 0);
}

static __always_inline int answer_error6(struct packet *packet, __u32 refusal, __u32 quoted)
{
	struct address from = answering_address(packet, refusal);
	struct {
		struct answer6 head;
		struct icmp_error icmp;
	} answer = {
		.head = begin_answer6(packet, &gateway_mac, &from,
				      sizeof(struct icmp_error) + quoted),
		.icmp = error6(refusal),
	};
	__u32 room = sizeof(struct ipv6hdr) + sizeof(answer.icmp);
	__s64 sum = quote(packet, quoted);

	if (sum < 0 || bpf_skb_adjust_room(packet->skb, room, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	answer.icmp.checksum = checksum6(&answer.head, sizeof(answer.icmp), sum);
	return bpf_skb_store_bytes(packet->skb, 0, &answer.head.ethernet, ETH_HLEN + room, 0);
}

/* As much as fits of: the longest IPv4 header and 8 bytes; a TCP header; 8 bytes of any. */
static __always_inline int quote_in_error4(struct packet *packet, __u32 refusal)
{
	__u32 size = packet->end - ETH_HLEN;

	if (size >= 68)
		return answer_error4(packet, refusal, 68);
	return size >= 40 ? answer_error4(packet, refusal, 40) : answer_error4(packet, refusal, 28);
}

/* The same: with extensions, and more than a TCP header; a TCP header; 8 bytes of any. */
static __always_inline int quote_in_error6(struct packet *packet, __u32 refusal)
{
	__u32 size = packet->end - ETH_HLEN;

	if (size >= 128)
		return answer_error6(packet, refusal, 128);
	return size >= 60 ? answer_error6(packet, refusal, 60) : answer_error6(packet, refusal, 48);
}

/* Makes the answer out of the packet; false: there is to be none, or it could not be made. */
static __noinline bool answer_error(struct packet *packet, __u32 refusal)
{
	if (!is_answerable(packet) ||
	    !is_within(&answers_v1, packet->ifindex, ANSWERS_BURST, ANSWER_EVERY_NS))
		return false;
	if (packet->ethertype == bpf_htons(ETH_P_IP))
		return !quote_in_error4(packet, refusal);
	return !quote_in_error6(packet, refusal);
}

/* The sender is told, when there is stack left for it. */
static __always_inline int refuse_for(struct packet *packet, enum refusal refusal)
{
	packet->skb->cb[REFUSAL] = refusal << REFUSAL_SHIFT;
	return REFUSED;
}

static __always_inline enum drop_reason reason_of(__u32 refusal)
{
	switch (kind_of(refusal)) {
	case REFUSED_HOP_LIMIT:
		return DROP_TTL;
	case REFUSED_NO_ROUTE:
		return DROP_NO_ROUTE;
	case REFUSED_ADDRESS:
		return DROP_UNKNOWN_ADDRESS;
	case REFUSED_ISOLATED:
		return DROP_ISOLATED;
	case REFUSED_INTERNAL:
		return DROP_INTERNAL;
	}
	return DROP_TOO_BIG;
}

/* Drops the packet, and tells its sender: a port of this host, or the host. */
__cold_stage int tell_sender(struct __sk_buff *skb, __u32 vni)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex, .vni = vni };
	__u32 refusal = skb->cb[REFUSAL];
	int verdict = drop(&packet, reason_of(refusal));

	if (parse(&packet) != NEXT || !answer_error(&packet, refusal))
		return verdict;
	if (packet.ifindex == weft.weft1_ifindex)
		return put_on_weft0(&packet);
	return deliver_to_sender(&packet);
}

#endif
