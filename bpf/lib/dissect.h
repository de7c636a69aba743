/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is behind the IP header of a packet that is to be judged: ports, or what stands for them. Later
 * fragments have the ports of the first one, and one whose first has not been seen is dropped. What keeps
 * a network going is found here, too: it passes by no rule. */
#ifndef WEFT_DISSECT_H
#define WEFT_DISSECT_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include "ask.h"
#include "packet.h"
#include "spoof.h"
#include "tcp.h"

#define L4_SIZE	       8 /* of what is read of any protocol */
#define IPV4_ID_AT     (ETH_HLEN + offsetof(struct iphdr, id))
#define IPV4_OFFSET_AT (ETH_HLEN + offsetof(struct iphdr, frag_off))

/* ICMP types that are questions or answers. */
#define ECHO4		 8
#define ECHO4_ANSWER	 0
#define TIMESTAMP	 13
#define TIMESTAMP_ANSWER 14
#define ECHO6		 128
#define ECHO6_ANSWER	 129
#define NO_TYPE		 255

/* ICMPv6 types of multicast groups and neighbour discovery, but for MLD_V2_REPORT. */
#define FIRST_OF_UPKEEP 130
#define LAST_OF_UPKEEP	137

/* The ICMP type that answers a question, or that is asked for an answer; NO_TYPE: neither. */
static __always_inline __u8 opposite_of(bool is_ipv4, __u8 type)
{
	if (!is_ipv4)
		return type == ECHO6 ? ECHO6_ANSWER : type == ECHO6_ANSWER ? ECHO6 : NO_TYPE;
	if (type == ECHO4 || type == ECHO4_ANSWER)
		return ECHO4 - type;
	if (type == TIMESTAMP || type == TIMESTAMP_ANSWER)
		return TIMESTAMP + TIMESTAMP_ANSWER - type;
	return NO_TYPE;
}

/* ICMP about another packet: unreachable, source quench, time exceeded, parameter problem, too big.
 * Redirects are none of these: they are judged. */
static __always_inline bool is_error_type(bool is_ipv4, __u8 type)
{
	if (!is_ipv4)
		return type >= 1 && type <= 4;
	return type == 3 || type == 4 || type == 11 || type == 12;
}

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
	       protocol == IPPROTO_DCCP || protocol == IPPROTO_UDPLITE;
}

static __always_inline bool is_icmp(const struct inquiry *inquiry)
{
	return inquiry->protocol == (inquiry->is_ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/* What every host needs to find neighbours and groups. */
static __always_inline bool is_upkeep(const struct inquiry *inquiry)
{
	__u8 type = bpf_ntohs(inquiry->destination_port) >> 8;

	if (inquiry->is_ipv4)
		return inquiry->protocol == IPPROTO_IGMP;
	return inquiry->protocol == IPPROTO_ICMPV6 &&
	       ((type >= FIRST_OF_UPKEEP && type <= LAST_OF_UPKEEP) || type == MLD_V2_REPORT);
}

static __always_inline void set_ports(struct inquiry *inquiry, __be16 source, __be16 destination)
{
	inquiry->is_error = false;
	inquiry->is_alone = false;
	inquiry->source_port = source;
	inquiry->destination_port = destination;
	inquiry->answer_source_port = destination;
	inquiry->answer_destination_port = source;
}

/* ICMP: type and code stand where the port is that is asked for, and an answer has the question's
 * identifier. */
static __always_inline void set_icmp(struct inquiry *inquiry, __be16 type_and_code,
				     __be16 identifier)
{
	__u8 type = bpf_ntohs(type_and_code) >> 8;
	__u8 code = bpf_ntohs(type_and_code) & 0xff;
	__u8 opposite = opposite_of(inquiry->is_ipv4, type);

	inquiry->is_error = is_error_type(inquiry->is_ipv4, type);
	inquiry->is_alone = opposite == NO_TYPE;
	inquiry->source_port = inquiry->is_alone ? 0 : identifier;
	inquiry->destination_port = type_and_code;
	inquiry->answer_source_port = inquiry->source_port;
	inquiry->answer_destination_port = bpf_htons(opposite << 8 | code);
}

static __always_inline __u32 place_of(const struct inquiry *inquiry)
{
	return inquiry->kind == FLOW_LEAVES ? inquiry->ifindex : inquiry->vni;
}

/* Of a packet in pieces. False: it cannot be read. */
static __always_inline bool read_identity(struct __sk_buff *skb, const struct inquiry *inquiry,
					  __be32 *identity)
{
	__u32 at = inquiry->l4 - inquiry->behind_fragment * 4 - sizeof(*identity);

	if (inquiry->is_ipv4)
		return !bpf_skb_load_bytes(skb, IPV4_ID_AT, identity, sizeof(__be16));
	return !bpf_skb_load_bytes(skb, at, identity, sizeof(*identity));
}

/* Whether a later fragment would lie over the header that the first one has shown (RFC 3128). What flow
 * a packet of TCP is of, and whether it begins one, is read there. */
static __always_inline bool hides_header(struct __sk_buff *skb, const struct inquiry *inquiry)
{
	__u32 at =
		inquiry->is_ipv4 ? IPV4_OFFSET_AT : inquiry->l4 - sizeof(__be32) - sizeof(__be16);
	__be16 field;
	__u32 offset;

	if (inquiry->protocol != IPPROTO_TCP)
		return false;
	if (bpf_skb_load_bytes(skb, at, &field, sizeof(field)))
		return true;
	/* In words of 8 bytes: the low bits of IPv4's field, the high ones of IPv6's. */
	offset = inquiry->is_ipv4 ? bpf_ntohs(field) & 0x1fff : bpf_ntohs(field) >> 3;
	return offset * 8 < sizeof(struct tcphdr);
}

/* The first piece says its ports for those that follow, which are given them. The reason why not, or
 * DROP_NONE. */
__cold_stage int dissect_fragment(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	struct fragment_key key = {};
	struct fragment ports = {};
	const struct fragment *known;

	if (!inquiry)
		return DROP_KERNEL;
	if (!read_identity(skb, inquiry, &key.identity_be))
		return DROP_MALFORMED;
	key.source = inquiry->source;
	key.destination = inquiry->destination;
	key.place = place_of(inquiry);
	key.protocol = inquiry->protocol;
	key.kind = inquiry->kind;
	if (!inquiry->is_later_fragment) {
		ports.source_port_be = inquiry->source_port;
		ports.destination_port_be = inquiry->destination_port;
		bpf_map_update_elem(&fragments_v1, &key, &ports, BPF_ANY);
		return DROP_NONE;
	}
	if (hides_header(skb, inquiry))
		return DROP_MALFORMED;
	known = bpf_map_lookup_elem(&fragments_v1, &key);
	if (!known)
		return DROP_FRAGMENT_LOST;
	if (is_icmp(inquiry))
		set_icmp(inquiry, known->destination_port_be, known->source_port_be);
	else
		set_ports(inquiry, known->source_port_be, known->destination_port_be);
	inquiry->is_error = false;
	inquiry->is_exempt = is_upkeep(inquiry);
	return DROP_NONE;
}

/* The reason why the packet is refused, or DROP_NONE. */
__stage int dissect(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	__be16 head[L4_SIZE / 2];

	if (!inquiry)
		return DROP_KERNEL;
	inquiry->tcp_flags = 0;
	inquiry->is_exempt = !inquiry->is_ip;
	if (inquiry->is_exempt)
		return DROP_NONE;
	if (inquiry->is_later_fragment)
		return dissect_fragment(skb);
	set_ports(inquiry, 0, 0);
	if (has_ports(inquiry->protocol) || is_icmp(inquiry)) {
		if (inquiry->l4 + sizeof(head) > inquiry->end ||
		    bpf_skb_load_bytes(skb, inquiry->l4, head, sizeof(head)))
			return DROP_MALFORMED;
		if (is_icmp(inquiry))
			set_icmp(inquiry, head[0], head[2]);
		else
			set_ports(inquiry, head[0], head[1]);
	}
	if (inquiry->protocol == IPPROTO_TCP &&
	    (inquiry->l4 + sizeof(struct tcphdr) > inquiry->end ||
	     bpf_skb_load_bytes(skb, inquiry->l4 + TCP_FLAGS_AT, &inquiry->tcp_flags, 1)))
		return DROP_MALFORMED;
	inquiry->is_exempt = is_upkeep(inquiry);
	return inquiry->is_fragment ? dissect_fragment(skb) : DROP_NONE;
}

#endif
