/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Answers to whoever has sent a packet, in its place: headers that are made anew (ARP, neighbour
 * discovery, ICMP errors), and headers that are turned round where they are (echo, probes). */
#ifndef WEFT_ANSWER_H
#define WEFT_ANSWER_H

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "deliver.h"
#include "packet.h"

#define ANSWER_HOP_LIMIT 64

/* Two bytes in front, so that all behind Ethernet is aligned. What follows lies right behind. */
struct answer4 {
	__u16 unused;
	struct ethernet ethernet;
	struct iphdr ip;
};

struct answer6 {
	__u16 unused;
	struct ethernet ethernet;
	__be32 first; /* version, class, flow */
	__be16 length;
	__u8 next;
	__u8 hop_limit;
	struct address source;
	struct address destination;
};

static __always_inline __be16 finished(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The MACs turn, too: an answer to somebody else is none. */
static __always_inline struct ethernet answer_ethernet(const struct packet *packet,
						       const struct mac *from)
{
	return (struct ethernet){
		.destination = packet->source_mac,
		.source = *from,
		.type = packet->ethertype,
	};
}

/* ICMP with so many bytes behind the IP header. */
static __always_inline struct answer4
begin_answer4(const struct packet *packet, const struct mac *mac, __be32 from, __u32 length)
{
	struct answer4 answer = {
		.ethernet = answer_ethernet(packet, mac),
		.ip = {
			.version = 4,
			.ihl = sizeof(struct iphdr) / 4,
			.tot_len = bpf_htons(sizeof(struct iphdr) + length),
			.ttl = ANSWER_HOP_LIMIT,
			.protocol = IPPROTO_ICMP,
			.saddr = from,
			.daddr = packet->source.words_be[3],
		},
	};

	answer.ip.check =
		finished(bpf_csum_diff(NULL, 0, (__be32 *)&answer.ip, sizeof(answer.ip), 0));
	return answer;
}

static __always_inline struct answer6 begin_answer6(const struct packet *packet,
						    const struct mac *mac,
						    const struct address *from, __u32 length)
{
	return (struct answer6){
		.ethernet = answer_ethernet(packet, mac),
		.first = bpf_htonl(0x60000000),
		.length = bpf_htons(length),
		.next = IPPROTO_ICMPV6,
		.hop_limit = ANSWER_HOP_LIMIT,
		.source = *from,
		.destination = packet->source,
	};
}

/* Of ICMPv6 that begins with `size` bytes right behind the header; `sum` is that of the rest. */
static __always_inline __be16 checksum6(struct answer6 *answer, __u32 size, __s64 sum)
{
	struct {
		__be32 length;
		__be32 protocol;
	} pseudo = { bpf_htonl(bpf_ntohs(answer->length)), bpf_htonl(IPPROTO_ICMPV6) };

	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), sum);
	return finished(bpf_csum_diff(NULL, 0, (__be32 *)&answer->source,
				      2 * sizeof(struct address) + size, sum));
}

/* An IP header turns round where it is, behind Ethernet. Swapping addresses changes no checksum. */
static __always_inline int turn_ip(struct __sk_buff *skb, bool is_ipv6, __u8 hop_limit_now,
				   const struct address *from, const struct address *to)
{
	__u8 hop_limit = ANSWER_HOP_LIMIT;

	if (is_ipv6) {
		struct address addresses[2] = { *from, *to };

		return bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, hop_limit),
					   &hop_limit, sizeof(hop_limit), BPF_F_RECOMPUTE_CSUM) ||
		       bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, saddr),
					   addresses, sizeof(addresses), BPF_F_RECOMPUTE_CSUM);
	}
	__be32 addresses[2] = { from->words_be[3], to->words_be[3] };

	return bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check),
				   bpf_htons(hop_limit_now << 8), bpf_htons(hop_limit << 8), 2) ||
	       bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct iphdr, ttl), &hop_limit,
				   sizeof(hop_limit), 0) ||
	       bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct iphdr, saddr), addresses,
				   sizeof(addresses), 0);
}

#endif
