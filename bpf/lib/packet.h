/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* One packet on its way through the stages. A stage takes it, and returns what becomes of it: a
 * TC_ACT_… or NEXT for "the next stage decides". Header fields are copied here once, since packet
 * pointers die with every helper that may move the data. Nothing writes through packet pointers:
 * a program that does gets a prologue that unclones every packet. */
#ifndef WEFT_PACKET_H
#define WEFT_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../abi.h"

#define NEXT (-100)
#define FLOOD \
	(-101) /* a copy for everybody: the entry point does it, which has stack left for it */
#define REFUSED	   (-102) /* likewise: its sender is told why, skb->cb[REFUSAL], see icmp_error.h */
#define ARP	   (-103) /* likewise: see arp.h, */
#define DISCOVERY  (-104) /* nd.h, */
#define QUERY	   (-105) /* dns.h, */
#define MEMBERSHIP (-106) /* flood.h, */
#define STRAY	   (-107) /* and stray.h */
#define JUDGE	   (-108) /* likewise: what `ask` has noted is to be decided on, see flow.h */
#define SETTLE	   (-109) /* of `track` alone: no entry decides */
#define COPIES	   (-110) /* likewise: copies for judged ports come first, see flood_judged.h */

#define REJECTED     (-111) /* likewise: dropped, and its sender is to be told, see reject.h */
#define FAR	     (-112) /* as ARP: it is for another network, see route_far.h */
#define ROUTE	     (-113) /* as ARP: a gateway or router is to send it on, see route.h */
#define SOLICITATION (-114) /* of `handle_nd` alone: weftd answers it */

/* Rarely called: the compiler keeps it, and the ways to it, out of the way of the others. */
#define __cold __attribute__((cold, noinline, section(".text")))

#define __unused __attribute__((unused))

/* A stage of its own: the verifier walks through it once, whoever calls it and in whatever state, and
 * knows nothing of what it returns. It takes the context, numbers, and structs that hold no pointers;
 * what else it needs of the packet it parses anew. */
#define __stage	     __attribute__((noinline))
#define __cold_stage __attribute__((cold, noinline, section(".text")))

#define IPV4_MAPPED bpf_htonl(0x0000ffff) /* third word of ::ffff:a.b.c.d */

struct ethernet {
	struct mac destination;
	struct mac source;
	__be16 type;
};

/* Addresses and what precedes them lie so that the compiler moves them in double words: of those the
 * verifier remembers nothing, and so has fewer cases to tell apart. */
struct packet {
	struct __sk_buff *skb;
	struct mac source_mac;
	struct mac destination_mac;
	__be16 ethertype;
	__u8 protocol; /* behind all extension headers */
	__u8 hop_limit;
	__u8 icmp_type;		/* ICMPv6 only, else 0 */
	bool is_fragment;	/* any but a whole packet */
	bool is_later_fragment; /* has no layer 4 header */
	__u8 behind_fragment;	/* words between an IPv6 fragment header and layer 4 */
	__u32 l4;		/* offset of the layer 4 header */
	__u32 end;		/* offset behind the IP packet */
	__be16 source_port;	/* UDP only, else 0 */
	__be16 destination_port;
	struct address source;
	__u32 ifindex; /* of the device it came in by */
	union {	       /* keys of maps need no room of their own */
		struct {
			__u32 vni;
			struct address destination;
			__u32 receiver; /* slot or tag of a member */
		};
		struct address_key place; /* where the destination is */
		struct multicast_key group;
		struct member_key member;
	};
	__u8 is_judged; /* rules have let it pass; a bool would double the cases of the verifier */
	bool is_routed; /* no router decides, */
	bool is_lost;	/* or one does, and knows no way */
};

/* BERTHS or more: the device has none. */
static __always_inline __u32 berth_of(__u32 ifindex)
{
	return ifindex - FIRST_IFINDEX;
}

static const struct mac gateway_mac = { {
	(__u16)0x570a,
	(__u16)0x4645,
	(__u16)0x0154,
} };

static __always_inline bool is_same_mac(const struct mac *a, const struct mac *b)
{
	return !((a->words_be[0] ^ b->words_be[0]) | (a->words_be[1] ^ b->words_be[1]) |
		 (a->words_be[2] ^ b->words_be[2]));
}

/* Word by word: clang 14 forgets some assignments of whole structs of this size through pointers. */
static __always_inline void copy_mac(struct mac *to, const struct mac *from)
{
	to->words_be[0] = from->words_be[0];
	to->words_be[1] = from->words_be[1];
	to->words_be[2] = from->words_be[2];
}

static __always_inline bool is_zero_mac(const struct mac *mac)
{
	return !(mac->words_be[0] | mac->words_be[1] | mac->words_be[2]);
}

/* Broadcast is a multicast too. */
static __always_inline bool is_multicast_mac(const struct mac *mac)
{
	return mac->words_be[0] & bpf_htons(0x0100);
}

static __always_inline bool is_same_address(const struct address *a, const struct address *b)
{
	return !((a->words_be[0] ^ b->words_be[0]) | (a->words_be[1] ^ b->words_be[1]) |
		 (a->words_be[2] ^ b->words_be[2]) | (a->words_be[3] ^ b->words_be[3]));
}

static __always_inline bool is_zero_address(const struct address *address)
{
	return !(address->words_be[0] | address->words_be[1] | address->words_be[2] |
		 address->words_be[3]);
}

static __always_inline bool is_ip(const struct packet *packet)
{
	return packet->ethertype == bpf_htons(ETH_P_IP) ||
	       packet->ethertype == bpf_htons(ETH_P_IPV6);
}

static __always_inline struct address from_ipv4(__be32 ipv4)
{
	return (struct address){ { 0, 0, IPV4_MAPPED, ipv4 } };
}

static __always_inline bool is_mapped(const struct address *address)
{
	return !(address->words_be[0] | address->words_be[1]) &&
	       address->words_be[2] == IPV4_MAPPED;
}

/* fe80::/10 */
static __always_inline bool is_link_local(const struct address *address)
{
	return (address->words_be[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* The link-local address that is made from a MAC (modified EUI-64, RFC 4291 appendix A). */
static __always_inline struct address link_local_of(const struct mac *mac)
{
	__u32 first = bpf_ntohs(mac->words_be[0]);
	__u32 second = bpf_ntohs(mac->words_be[1]);
	__u32 third = bpf_ntohs(mac->words_be[2]);

	return (struct address){ {
		bpf_htonl(0xfe800000),
		0,
		bpf_htonl((first ^ 0x0200) << 16 | (second & 0xff00) | 0xff),
		bpf_htonl(0xfe000000 | (second & 0xff) << 16 | third),
	} };
}

/* The opposite; false when the address is not made from a MAC. */
static __always_inline bool mac_of_link_local(const struct address *address, struct mac *mac)
{
	__u32 high = bpf_ntohl(address->words_be[2]);
	__u32 low = bpf_ntohl(address->words_be[3]);

	if (address->words_be[0] != bpf_htonl(0xfe800000) || address->words_be[1] ||
	    (high & 0xff) != 0xff || low >> 24 != 0xfe)
		return false;
	mac->words_be[0] = bpf_htons((high >> 16) ^ 0x0200);
	mac->words_be[1] = bpf_htons((high & 0xff00) | ((low >> 16) & 0xff));
	mac->words_be[2] = bpf_htons(low & 0xffff);
	return true;
}

#endif
