/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The header that carries a frame over the underlay: Ethernet, IPv4 or IPv6, UDP, VXLAN (RFC 7348).
 * A relayed packet has the tag of the host where it ends in the bits that VXLAN reserves, 24 before
 * the VNI and 8 behind it; such packets go only to hosts that relay. */
#ifndef WEFT_OUTER_H
#define WEFT_OUTER_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include "../maps.h"
#include "packet.h"

#define OUTER_TTL      64
#define DONT_FRAGMENT  bpf_htons(0x4000)
#define VXLAN_VALID    0x08000000u /* the only flag that is set: the VNI is valid */
#define ECN_MASK       3
#define LENGTH_MAX     65535
#define FIRST_UDP_PORT 0xc000 /* RFC 7348 5: from the dynamic range */

struct vxlan {
	__be32 flags;
	__be32 vni;
};

/* What differs from packet to packet. The way to the other host is in a struct tunnel. */
struct overlay_header {
	__u32 vni;
	__u32 tag; /* 0: not relayed */
	__u8 traffic_class;
	__u8 hop_limit;
	__be16 source_port;
};

/* Two bytes in front, so that all behind Ethernet is aligned. */
#define __aligned8 __attribute__((aligned(8)))

struct outer4 {
	__u16 unused;
	struct ethernet ethernet;
	struct iphdr ip;
	struct udphdr udp;
	struct vxlan vxlan;
	struct ethernet inner;
} __aligned8;

struct outer6 {
	__u16 unused;
	struct ethernet ethernet;
	struct ipv6hdr ip;
	struct udphdr udp;
	struct vxlan vxlan;
	struct ethernet inner;
} __aligned8;

/* Bytes in front of the frame that is carried. */
#define OUTER4_SIZE (offsetof(struct outer4, inner) - offsetof(struct outer4, ethernet))
#define OUTER6_SIZE (offsetof(struct outer6, inner) - offsetof(struct outer6, ethernet))

static __always_inline bool is_outer_ipv6(const struct tunnel *tunnel)
{
	return tunnel->flags & TUNNEL_IPV6;
}

/* Both length fields are 0 for what is larger than they can say (BIG TCP). */
static __always_inline __be16 length_field(__u32 length)
{
	return length > LENGTH_MAX ? 0 : bpf_htons(length);
}

/* With the two bytes in front. */
static __always_inline void fill_ethernet(void *outer, const struct tunnel *tunnel)
{
	__builtin_memcpy(__builtin_assume_aligned(outer, 8), &tunnel->spare0,
			 sizeof(__u16) + ETH_HLEN);
}

static __always_inline void fill_udp(struct udphdr *udp, const struct overlay_header *header,
				     __u32 length)
{
	udp->source = header->source_port;
	udp->dest = bpf_htons(weft.overlay_port);
	udp->len = length_field(length);
	udp->check = 0; /* the inner packet has its own; zero is allowed in IPv6, too (RFC 6935) */
}

static __always_inline void fill_vxlan(struct vxlan *vxlan, const struct overlay_header *header)
{
	vxlan->flags = bpf_htonl(VXLAN_VALID | header->tag >> 8);
	vxlan->vni = bpf_htonl(header->vni << 8 | (header->tag & 0xff));
}

/* RFC 1071, for a header without options; `sum` is that of its other words. */
static __always_inline __be16 ip_checksum(__u32 sum, const struct overlay_header *header,
					  __be16 length)
{
	sum += bpf_htons(0x4500 | header->traffic_class) + length;
	sum += bpf_htons(header->hop_limit << 8 | IPPROTO_UDP);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* All of the outer header; `length` is that of the outer IP packet. */
static __always_inline void fill_outer4(struct outer4 *outer, const struct tunnel *tunnel,
					const struct overlay_header *header, __u32 length)
{
	fill_ethernet(outer, tunnel);
	outer->ip.version = 4;
	outer->ip.ihl = sizeof(outer->ip) / 4;
	outer->ip.tos = header->traffic_class;
	outer->ip.tot_len = length_field(length);
	outer->ip.id = 0; /* says nothing in what is never fragmented (RFC 6864) */
	outer->ip.frag_off = DONT_FRAGMENT;
	outer->ip.ttl = header->hop_limit;
	outer->ip.protocol = IPPROTO_UDP;
	outer->ip.saddr = tunnel->local.words_be[3];
	outer->ip.daddr = tunnel->remote.words_be[3];
	outer->ip.check = ip_checksum(tunnel->sum, header, outer->ip.tot_len);
	fill_udp(&outer->udp, header, length - sizeof(outer->ip));
	fill_vxlan(&outer->vxlan, header);
}

/* The flow label is the source port: as the port, it keeps flows apart (RFC 6438). */
static __always_inline void fill_outer6(struct outer6 *outer, const struct tunnel *tunnel,
					const struct overlay_header *header, __u32 length)
{
	__be32 first = bpf_htonl(0x60000000 | header->traffic_class << 20 |
				 bpf_ntohs(header->source_port));

	fill_ethernet(outer, tunnel);
	__builtin_memcpy(&outer->ip, &first, sizeof(first));
	outer->ip.payload_len = length_field(length - sizeof(outer->ip));
	outer->ip.nexthdr = IPPROTO_UDP;
	outer->ip.hop_limit = header->hop_limit;
	__builtin_memcpy(&outer->ip.saddr, &tunnel->local, sizeof(tunnel->local));
	__builtin_memcpy(&outer->ip.daddr, &tunnel->remote, sizeof(tunnel->remote));
	fill_udp(&outer->udp, header, length - sizeof(outer->ip));
	fill_vxlan(&outer->vxlan, header);
}

#endif
