/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Who sends what the rules reject is told so, in place of the packet: by a reset of TCP as if by the other
 * end (RFC 9293 3.5.2), else by ICMP "administratively prohibited" (RFC 1812 5.2.7.1, RFC 4443 3.1) from the
 * gateway. Once a flow and second at most, for then an entry knows it, and for each device so many a second.
 *
 * All is made in the inquiry, from what that knows of the packet: programs that unpack have no stack left. */
#ifndef WEFT_REJECT_H
#define WEFT_REJECT_H

#include <linux/tcp.h>

#include "answer.h"
#include "ask.h"
#include "dissect.h"
#include "encap.h"
#include "limit.h"
#include "tcp.h"

#define ICMP_PROHIBITED	  13
#define ICMPV6_PROHIBITED 1
#define CHECKSUM_AT	  offsetof(struct tcphdr, check)
#define MAX_PADDING	  1024
#define PADDED		  1

/* As they lie in `told` of the inquiry. */
struct reset4 {
	struct answer4 head;
	struct tcphdr tcp;
};

struct reset6 {
	struct answer6 head;
	struct tcphdr tcp;
};

struct told4 {
	struct answer4 head;
	struct icmp_error icmp;
};

struct told6 {
	struct answer6 head;
	struct icmp_error icmp;
};

_Static_assert(sizeof(struct reset6) <= sizeof(((struct inquiry *)0)->told), "room in the inquiry");

/* RFC 1122 3.2.2, RFC 4443 2.4: see is_answerable in icmp_error.h. */
static __always_inline bool may_be_told(const struct inquiry *inquiry)
{
	__u32 last = bpf_ntohl(inquiry->source.words_be[3]);
	__u8 type = bpf_ntohs(inquiry->destination_port) >> 8;

	if (inquiry->is_trial || inquiry->is_multicast || inquiry->is_later_fragment)
		return false;
	if (inquiry->is_ipv4) {
		if (!last || last >> 24 == 127 || last >= 0xe0000000 ||
		    bpf_ntohl(inquiry->destination.words_be[3]) >= 0xe0000000)
			return false;
	} else if (is_zero_address(&inquiry->source) || is_multicast6(&inquiry->source) ||
		   is_multicast6(&inquiry->destination)) {
		return false;
	}
	if (inquiry->protocol == IPPROTO_ICMPV6)
		return type >= 128;
	if (inquiry->protocol == IPPROTO_ICMP) /* 5 is a redirect */
		return !inquiry->is_error && type != 5;
	return inquiry->protocol != IPPROTO_TCP || !(inquiry->tcp_flags & TCP_RST);
}

/* Of a frame that begins at `told`: who gets it. The gateway has rewritten the MACs of what is routed. */
static __always_inline void begin_told(struct inquiry *inquiry, const struct mac *from)
{
	struct answer4 *answer = (void *)inquiry->told;

	copy_mac(&answer->ethernet.destination, &inquiry->source_mac);
	copy_mac(&answer->ethernet.source, from);
	answer->ethernet.type = bpf_htons(inquiry->is_ipv4 ? ETH_P_IP : ETH_P_IPV6);
}

static __always_inline void begin_told4(struct inquiry *inquiry, struct answer4 *answer,
					__u8 protocol, __be32 from, __u32 length)
{
	answer->ip = (struct iphdr){
		.version = 4,
		.ihl = sizeof(struct iphdr) / 4,
		.tot_len = bpf_htons(sizeof(struct iphdr) + length),
		.ttl = ANSWER_HOP_LIMIT,
		.protocol = protocol,
		.saddr = from,
		.daddr = inquiry->source.words_be[3],
	};
	answer->ip.check =
		finished(bpf_csum_diff(NULL, 0, (__be32 *)&answer->ip, sizeof(answer->ip), 0));
}

static __always_inline void begin_told6(struct inquiry *inquiry, struct answer6 *answer,
					__u8 protocol, const struct address *from, __u32 length)
{
	answer->first = bpf_htonl(0x60000000);
	answer->length = bpf_htons(length);
	answer->next = protocol;
	answer->hop_limit = ANSWER_HOP_LIMIT;
	answer->source = *from;
	answer->destination = inquiry->source;
}

/* Of the pseudo-header; `addresses` are both of them. */
static __always_inline __s64 sum_of_pseudo(void *addresses, bool is_ipv4, __u8 protocol,
					   __u32 length)
{
	__be32 rest[2] = { bpf_htonl(length), bpf_htonl(protocol) };
	__s64 sum = bpf_csum_diff(NULL, 0, rest, sizeof(rest), 0);

	if (is_ipv4)
		return bpf_csum_diff(NULL, 0, addresses, 2 * sizeof(__be32), sum);
	return bpf_csum_diff(NULL, 0, addresses, 2 * sizeof(struct address), sum);
}

/* Turns the segment round, which is in `quoted` of the inquiry. */
static __always_inline void fill_reset(const struct inquiry *inquiry, struct tcphdr *reset)
{
	const struct tcphdr *segment = (const void *)inquiry->quoted;
	__u32 length = inquiry->end - inquiry->l4 - segment->doff * 4 + segment->syn + segment->fin;

	*reset = (struct tcphdr){
		.source = segment->dest,
		.dest = segment->source,
		.doff = sizeof(*reset) / 4,
		.rst = 1,
	};
	if (segment->ack) {
		reset->seq = segment->ack_seq;
	} else {
		reset->ack = 1;
		reset->ack_seq = bpf_htonl(bpf_ntohl(segment->seq) + length);
	}
}

/* The kernel may have left the checksum of the segment to others, and then wants to find the sum of the
 * pseudo-header there; else the checksum itself. What bpf_l4_csum_replace adds counts in the second case
 * alone. `pseudo` and `sum` are those of the pseudo-header and of the header without its checksum. */
static __always_inline int store_reset(struct __sk_buff *skb, struct inquiry *inquiry,
				       struct tcphdr *reset, __u32 l4, __s64 pseudo)
{
	__s64 sum = bpf_csum_diff(NULL, 0, (__be32 *)reset, sizeof(*reset), 0);
	__u16 missing = ~finished(2 * pseudo + sum);
	const void *frame = (const void *)inquiry->told + sizeof(__u16);

	reset->check = ~finished(pseudo);
	if (l4 == ETH_HLEN + sizeof(struct iphdr)) {
		if (bpf_skb_store_bytes(skb, 0, frame,
					ETH_HLEN + sizeof(struct iphdr) + sizeof(*reset),
					BPF_F_RECOMPUTE_CSUM))
			return -1;
	} else if (bpf_skb_store_bytes(skb, 0, frame,
				       ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(*reset),
				       BPF_F_RECOMPUTE_CSUM)) {
		return -1;
	}
	return bpf_l4_csum_replace(skb, l4 + CHECKSUM_AT, 0, missing, 0);
}

static const __u8 nothing[32];

/* What is behind the frame that is to be written becomes zero, and so counts for nothing in a checksum
 * that runs on to the end. What is before it may, too: a frame is longer than `nothing`. */
__cold_stage int clear_padding(struct __sk_buff *skb, __u32 at)
{
	for (__u32 i = 0; i < MAX_PADDING / sizeof(nothing) && at < skb->len; i++) {
		if (at > skb->len - sizeof(nothing))
			at = skb->len - sizeof(nothing);
		if (bpf_skb_store_bytes(skb, at, nothing, sizeof(nothing), BPF_F_RECOMPUTE_CSUM))
			return -1;
		at += sizeof(nothing);
	}
	return 0;
}

/* A frame that is to be written anew gets its length: 0, or PADDED, or it cannot be. The kernel refuses to
 * cut a packet that another host under this very kernel has packed, for that still counts as packed: then
 * `room` comes in behind the MACs, for what is written before the old packet, and what is too much stays
 * behind the new one as padding. */
static __always_inline int set_length(struct __sk_buff *skb, __u32 length, __u32 room)
{
	if (!bpf_skb_change_tail(skb, length, 0))
		return 0;
	if (skb->len + room < length || skb->len + room > length + MAX_PADDING)
		return -1;
	if (room && bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	return clear_padding(skb, length) ? -1 : PADDED;
}

/* 0: the packet is the reset now. With options or extension headers it is told nothing: where the kernel
 * looks for the checksum would be another place. */
__cold_stage int make_reset(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	__u32 l4, size = sizeof(struct tcphdr);
	struct reset4 *four;
	struct reset6 *six;
	__s64 pseudo;

	if (!inquiry)
		return -1;
	l4 = ETH_HLEN + (inquiry->is_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	if (inquiry->l4 != l4 || bpf_skb_load_bytes(skb, l4, inquiry->quoted, size) ||
	    set_length(skb, l4 + size, 0) < 0)
		return -1;
	begin_told(inquiry, &inquiry->destination_mac);
	if (inquiry->is_ipv4) {
		four = (void *)inquiry->told;
		begin_told4(inquiry, &four->head, IPPROTO_TCP, inquiry->destination.words_be[3],
			    size);
		fill_reset(inquiry, &four->tcp);
		pseudo = sum_of_pseudo(&four->head.ip.saddr, true, IPPROTO_TCP, size);
		return store_reset(skb, inquiry, &four->tcp, l4, pseudo);
	}
	six = (void *)inquiry->told;
	begin_told6(inquiry, &six->head, IPPROTO_TCP, &inquiry->destination, size);
	fill_reset(inquiry, &six->tcp);
	pseudo = sum_of_pseudo(&six->head.source, false, IPPROTO_TCP, size);
	return store_reset(skb, inquiry, &six->tcp, l4, pseudo);
}

/* The gateway of the sender's subnet, or else the address that the packet was for. */
static __always_inline void find_teller(struct inquiry *inquiry, struct address *teller)
{
	struct subnet_key key = {
		.prefixlen = 32 + 128,
		.vni = inquiry->vni,
		.address = inquiry->source,
	};
	const struct subnet *subnet = bpf_map_lookup_elem(&subnets_v1, &key);

	*teller = inquiry->destination;
	if (subnet && is_mapped(&subnet->gateway) == inquiry->is_ipv4 &&
	    !is_zero_address(&subnet->gateway))
		*teller = subnet->gateway;
}

/* Up to eight bytes behind the IP header, in words, copied to `told_quote`. 0: it cannot be read. */
static __always_inline __u32 read_quote(struct __sk_buff *skb, struct inquiry *inquiry)
{
	__u32 end = inquiry->l4 + L4_SIZE;
	__u32 size = (end < inquiry->end ? end : inquiry->end) - ETH_HLEN;

	if (size > sizeof(inquiry->told_quote))
		size = sizeof(inquiry->told_quote);
	size &= ~3U;
	/* Older verifiers do not conclude from `size` being something that it is more than nothing. */
	asm volatile("" : "+r"(size));
	if (size < sizeof(__u32) || size > sizeof(inquiry->told_quote) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, inquiry->told_quote, size))
		return 0;
	return size;
}

/* The checksum of a datagram may have been left to whoever sends it. Who sends the quoted one sums it up
 * from its ports to the end, and writes what comes out where its checksum is: what is put there is such
 * that the same comes out, or the checksum of ICMP would hold no more. Twice it and all else are zero. */
static __always_inline void settle_checksum(struct inquiry *inquiry, __u32 size)
{
	__u16 *words;
	__u32 sum;

	if (inquiry->protocol != IPPROTO_UDP || size != inquiry->l4 + L4_SIZE - ETH_HLEN)
		return;
	asm volatile("" : "+r"(size));
	if (size < L4_SIZE || size > sizeof(inquiry->told_quote))
		return;
	words = (void *)inquiry->told_quote + size - L4_SIZE;
	sum = words[0] + words[1] + words[2];
	sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
	words[3] = sum >> 1 | sum << 15;
}

__cold_stage int make_prohibited4(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	struct told4 *told;
	struct address from;
	__u32 room, size;
	__s64 sum;
	int length;

	if (!inquiry)
		return -1;
	size = read_quote(skb, inquiry);
	room = sizeof(struct iphdr) + sizeof(told->icmp);
	if (size < sizeof(__u32) || size > sizeof(inquiry->told_quote))
		return -1;
	length = set_length(skb, ETH_HLEN + room + size, room);
	if (length < 0)
		return -1;
	if (length == PADDED)
		settle_checksum(inquiry, size);
	find_teller(inquiry, &from);
	begin_told(inquiry, &gateway_mac);
	told = (void *)inquiry->told;
	begin_told4(inquiry, &told->head, IPPROTO_ICMP, from.words_be[3],
		    sizeof(told->icmp) + size);
	told->icmp = (struct icmp_error){ .type = ICMP_UNREACHABLE, .code = ICMP_PROHIBITED };
	sum = bpf_csum_diff(NULL, 0, inquiry->told_quote, size, 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&told->icmp, sizeof(told->icmp), sum);
	told->icmp.checksum = finished(sum);
	return bpf_skb_store_bytes(skb, 0, &told->head.ethernet, ETH_HLEN + room,
				   BPF_F_RECOMPUTE_CSUM) ||
	       bpf_skb_store_bytes(skb, ETH_HLEN + room, inquiry->told_quote, size,
				   BPF_F_RECOMPUTE_CSUM);
}

__cold_stage int make_prohibited6(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	struct told6 *told;
	struct address from;
	__u32 room, size;
	__s64 sum;
	int length;

	if (!inquiry)
		return -1;
	size = read_quote(skb, inquiry);
	room = sizeof(struct ipv6hdr) + sizeof(told->icmp);
	if (size < sizeof(__u32) || size > sizeof(inquiry->told_quote))
		return -1;
	length = set_length(skb, ETH_HLEN + room + size, room);
	if (length < 0)
		return -1;
	if (length == PADDED)
		settle_checksum(inquiry, size);
	find_teller(inquiry, &from);
	begin_told(inquiry, &gateway_mac);
	told = (void *)inquiry->told;
	begin_told6(inquiry, &told->head, IPPROTO_ICMPV6, &from, sizeof(told->icmp) + size);
	told->icmp = (struct icmp_error){ .type = 1, .code = ICMPV6_PROHIBITED };
	sum = bpf_csum_diff(NULL, 0, inquiry->told_quote, size, 0);
	told->icmp.checksum = checksum6(&told->head, sizeof(told->icmp), sum);
	return bpf_skb_store_bytes(skb, 0, &told->head.ethernet, ETH_HLEN + room,
				   BPF_F_RECOMPUTE_CSUM) ||
	       bpf_skb_store_bytes(skb, ETH_HLEN + room, inquiry->told_quote, size,
				   BPF_F_RECOMPUTE_CSUM);
}

/* REJECTED: it is for another host, to which the caller sends it. */
static __always_inline int send_told(struct __sk_buff *skb, const struct inquiry *inquiry)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };

	if (inquiry->kind == FLOW_LEAVES)
		return deliver_to_sender(&packet);
	return inquiry->kind == FLOW_ENTERS ? put_on_weft0(&packet) : REJECTED;
}

/* The packet has been dropped, and counted so. */
__cold_stage int reject(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	int error;

	if (!inquiry || !may_be_told(inquiry) ||
	    !is_within(&answers_v1, skb->ifindex, ANSWERS_BURST, ANSWER_EVERY_NS))
		return TC_ACT_SHOT;
	if (inquiry->protocol == IPPROTO_TCP)
		error = make_reset(skb);
	else
		error = inquiry->is_ipv4 ? make_prohibited4(skb) : make_prohibited6(skb);
	return error ? TC_ACT_SHOT : send_told(skb, inquiry);
}

#endif
