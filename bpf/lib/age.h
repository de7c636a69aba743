/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a router changes of a packet, in one store: the MACs and the hop limit, which lie close together.
 * For packets without IP options and extension headers, whose first bytes are there to be read. */
#ifndef WEFT_AGE_H
#define WEFT_AGE_H

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "packet.h"

#define PLAIN_IPV4 0x45 /* version, and length of the header: no options */
#define IP_FRONT   3 /* words of an IP header that hold the hop limit, and of IPv4 its checksum */

struct front {
	__u16 spare; /* so that all behind it is aligned */
	struct ethernet ethernet;
	union {
		__u32 words[IP_FRONT];
		struct {
			__u8 before[offsetof(struct iphdr, ttl)];
			__u8 hop_limit;
			__u8 protocol;
			__u16 check;
		} ipv4;
		struct {
			__u16 before[offsetof(struct ipv6hdr, nexthdr) / 2];
			__u16 next_and_hop_limit;
		} ipv6;
	};
};

#define FRONT_SIZE (sizeof(struct front) - offsetof(struct front, ethernet))

static __always_inline void read_front(struct front *front, const void *data)
{
	const __u32 *words = data + ETH_HLEN;

	for (int i = 0; i < IP_FRONT; i++)
		front->words[i] = words[i];
}

/* One's complement (RFC 1624). */
static __always_inline __u16 raised(__u16 check, __u32 by)
{
	__u32 sum = (__u16)~check + 0xffff - by;

	return ~((sum & 0xffff) + (sum >> 16));
}

/* So many hops less, of which there are more. What the sum over the whole packet, that network cards may
 * have given it, grows by: IPv4 headers have a sum of their own that makes up for it. */
static __always_inline __u32 age_front(struct front *front, bool is_ipv4, __u8 hops)
{
	__u16 former = front->ipv6.next_and_hop_limit;

	if (is_ipv4) {
		front->ipv4.hop_limit -= hops;
		front->ipv4.check = raised(front->ipv4.check, bpf_htons(hops << 8));
		return 0;
	}
	front->ipv6.next_and_hop_limit = former - bpf_htons(hops);
	return front->ipv6.next_and_hop_limit + (__u16)~former;
}

static __always_inline __u8 hop_limit_of(const struct front *front, bool is_ipv4)
{
	return is_ipv4 ? front->ipv4.hop_limit : bpf_ntohs(front->ipv6.next_and_hop_limit);
}

/* As its gateway sends it on: with other MACs, and fewer hops. */
static __always_inline int rewrite_front(struct packet *packet, struct front *front, __u8 hops)
{
	bool is_ipv4 = packet->ethertype == bpf_htons(ETH_P_IP);
	__u32 more = age_front(front, is_ipv4, hops);

	front->ethernet.destination = packet->destination_mac;
	front->ethernet.source = packet->source_mac;
	front->ethernet.type = packet->ethertype;
	if (bpf_skb_store_bytes(packet->skb, 0, &front->ethernet, FRONT_SIZE, 0))
		return -1;
	if (!is_ipv4)
		bpf_csum_update(packet->skb, more); /* of a packet that has no sum: nothing */
	return 0;
}

#endif
