/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Headers into struct packet. What does not parse, or claims to be longer than it is, is dropped;
 * so is an IPv6 header chain that hides what it carries (RFC 7112, 7113). */
#ifndef WEFT_PARSE_H
#define WEFT_PARSE_H

#include <linux/icmpv6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "count.h"
#include "packet.h"

#define EXTENSIONS_MAX 6     /* Linux itself sends two at most */
#define JUMBO	       65536 /* from this length on (BIG TCP) the length fields are zero */

/* The compiler would halve or merge these loads, and the verifier knows them only whole. */
#define LOAD_POINTER(skb, field)                                                  \
	({                                                                        \
		void *pointer;                                                    \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                             \
			     : "=r"(pointer)                                      \
			     : "r"(skb), "i"(offsetof(struct __sk_buff, field))); \
		pointer;                                                          \
	})

/* A pointer to `size` bytes at a constant offset, pulled out of fragments when they lie there. */
static __always_inline void *header_at(struct packet *packet, __u32 offset, __u32 size)
{
	void *data = LOAD_POINTER(packet->skb, data);

	if (data + offset + size <= LOAD_POINTER(packet->skb, data_end))
		return data + offset;
	if (bpf_skb_pull_data(packet->skb, offset + size))
		return NULL;
	data = LOAD_POINTER(packet->skb, data);
	if (data + offset + size <= LOAD_POINTER(packet->skb, data_end))
		return data + offset;
	return NULL;
}

static __always_inline int parse_ethernet(struct packet *packet)
{
	struct ethernet *ethernet = header_at(packet, 0, sizeof(*ethernet));

	if (!ethernet)
		return drop(packet, DROP_MALFORMED);
	packet->source_mac = ethernet->source;
	packet->destination_mac = ethernet->destination;
	packet->ethertype = ethernet->type;
	return NEXT;
}

static __always_inline int parse_l4(struct packet *packet)
{
	if (packet->is_later_fragment)
		return NEXT;
	if (packet->protocol == IPPROTO_UDP) {
		__be16 ports[2];

		if (packet->l4 + 8 > packet->end ||
		    bpf_skb_load_bytes(packet->skb, packet->l4, ports, sizeof(ports)))
			return drop(packet, DROP_MALFORMED);
		packet->source_port = ports[0];
		packet->destination_port = ports[1];
	} else if (packet->protocol == IPPROTO_ICMPV6) {
		if (packet->l4 + 4 > packet->end ||
		    bpf_skb_load_bytes(packet->skb, packet->l4, &packet->icmp_type, 1))
			return drop(packet, DROP_MALFORMED);
	}
	return NEXT;
}

static __always_inline int parse_ipv4(struct packet *packet)
{
	struct iphdr *ip = header_at(packet, ETH_HLEN, sizeof(*ip));
	__u32 header, total, fragment;

	if (!ip)
		return drop(packet, DROP_MALFORMED);
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (!total && packet->skb->len >= ETH_HLEN + JUMBO)
		total = packet->skb->len - ETH_HLEN;
	if (ip->version != 4 || header < sizeof(*ip) || total < header ||
	    ETH_HLEN + total > packet->skb->len)
		return drop(packet, DROP_MALFORMED);
	fragment = bpf_ntohs(ip->frag_off) & 0x3fff;
	packet->is_fragment = fragment;
	packet->is_later_fragment = fragment & 0x1fff;
	packet->protocol = ip->protocol;
	packet->hop_limit = ip->ttl;
	packet->l4 = ETH_HLEN + header;
	packet->end = ETH_HLEN + total;
	packet->source = from_ipv4(ip->saddr);
	packet->destination = from_ipv4(ip->daddr);
	/* ICMPv6 has no business here; as ICMP it would skip the checks of nd.h. */
	if (packet->protocol == IPPROTO_ICMPV6)
		return drop(packet, DROP_MALFORMED);
	return parse_l4(packet);
}

static __always_inline bool is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_FRAGMENT || protocol == IPPROTO_DSTOPTS ||
	       protocol == IPPROTO_AH || protocol == IPPROTO_MH;
}

/* Where the walk over extension headers stands. */
struct chain {
	__u32 l4;  /* offset of the header that comes next */
	__u32 end; /* of the IP packet */
	__u8 protocol;
	__u8 is_fragment;
	__u8 is_later_fragment;
	__u8 behind_fragment; /* words walked over since the fragment header */
};

/* Walks over one extension header; false: it does not fit the packet. */
static __always_inline bool walk_extension(struct __sk_buff *skb, struct chain *chain)
{
	struct {
		__u8 next;
		__u8 length;
		__be16 fragment;
	} extension;
	__u32 size;

	if (chain->l4 + 8 > chain->end ||
	    bpf_skb_load_bytes(skb, chain->l4, &extension, sizeof(extension)))
		return false;
	size = (extension.length + 1) * 8;
	if (chain->protocol == IPPROTO_AH)
		size = (extension.length + 2) * 4;
	if (chain->protocol == IPPROTO_FRAGMENT) {
		size = 8;
		chain->is_fragment = true;
		chain->is_later_fragment = !!(extension.fragment & bpf_htons(0xfff8));
		chain->behind_fragment = 0;
	} else if (chain->is_fragment) {
		/* Nobody sends as much there, and it need not be remembered. */
		if (chain->behind_fragment + size / 4 > 0xff)
			return false;
		chain->behind_fragment += size / 4;
	}
	if (chain->l4 + size > chain->end)
		return false;
	chain->l4 += size;
	chain->protocol = extension.next;
	return true;
}

/* Nonzero: to the end of the chain. */
__cold_stage int walk_extensions(struct __sk_buff *skb, struct chain *chain)
{
	if (!chain)
		return 0;
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		if (!walk_extension(skb, chain))
			return 0;
		if (chain->is_later_fragment || !is_extension(chain->protocol))
			return 1;
	}
	return 0;
}

static __always_inline int parse_extensions(struct packet *packet)
{
	struct chain chain = {
		.l4 = packet->l4,
		.end = packet->end,
		.protocol = packet->protocol,
	};

	if (!walk_extensions(packet->skb, &chain))
		return drop(packet, DROP_MALFORMED);
	packet->l4 = chain.l4;
	packet->protocol = chain.protocol;
	packet->is_fragment = chain.is_fragment;
	packet->is_later_fragment = chain.is_later_fragment;
	packet->behind_fragment = chain.behind_fragment;
	return NEXT;
}

static __always_inline int parse_ipv6(struct packet *packet)
{
	struct ipv6hdr *ip = header_at(packet, ETH_HLEN, sizeof(*ip));
	__u32 total;

	if (!ip)
		return drop(packet, DROP_MALFORMED);
	total = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (!ip->payload_len && packet->skb->len >= ETH_HLEN + JUMBO)
		total = packet->skb->len - ETH_HLEN;
	if (ip->version != 6 || ETH_HLEN + total > packet->skb->len)
		return drop(packet, DROP_MALFORMED);
	packet->protocol = ip->nexthdr;
	packet->hop_limit = ip->hop_limit;
	packet->l4 = ETH_HLEN + sizeof(*ip);
	packet->end = ETH_HLEN + total;
	__builtin_memcpy(&packet->source, &ip->saddr, sizeof(packet->source));
	__builtin_memcpy(&packet->destination, &ip->daddr, sizeof(packet->destination));
	/* In our maps these stand for IPv4; on a wire they stand for nothing. */
	if (is_mapped(&packet->source) || is_mapped(&packet->destination))
		return drop(packet, DROP_RESERVED);
	if (is_extension(packet->protocol)) {
		int verdict = parse_extensions(packet);

		if (verdict != NEXT)
			return verdict;
	}
	return parse_l4(packet);
}

static __always_inline int parse(struct packet *packet)
{
	int verdict = parse_ethernet(packet);

	if (verdict != NEXT)
		return verdict;
	if (packet->ethertype == bpf_htons(ETH_P_IP))
		return parse_ipv4(packet);
	if (packet->ethertype == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(packet);
	return NEXT;
}

#endif
