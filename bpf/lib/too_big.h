/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Packets that the way ahead cannot carry. The sender is told by ICMP "fragmentation needed" (RFC
 * 1191) or ICMPv6 "packet too big" (RFC 4443 3.2), made in place of the packet. Weft never
 * fragments, so that DF makes no difference. */
#ifndef WEFT_TOO_BIG_H
#define WEFT_TOO_BIG_H

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "answer.h"
#include "deliver.h"
#include "limit.h"
#include "packet.h"
#include "parse.h"

#define QUOTED4		 68  /* the longest IPv4 header and 8 bytes */
#define QUOTED6		 128 /* the header, extensions, and more than a TCP header */
#define ICMP_UNREACHABLE 3
#define ICMP_FRAG_NEEDED 4
#define ICMPV6_TOO_BIG	 2

#define ANSWERS_BURST	    50
#define ANSWER_EVERY_NS	    5000000 /* 200 a second for each sender */
#define TCP_OFFSET_POSITION 12	    /* of the byte whose upper half is the header's length */

struct icmp_error {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 mtu; /* ICMP: 16 unused bits, then the MTU */
};

/* Headers of each segment that a GSO packet will be cut into. */
static __noinline __u32 segment_header(struct packet *packet)
{
	__u8 offset = 0x50;

	if (packet->protocol != IPPROTO_TCP)
		return packet->l4 - ETH_HLEN + 8;
	bpf_skb_load_bytes(packet->skb, packet->l4 + TCP_OFFSET_POSITION, &offset, sizeof(offset));
	return packet->l4 - ETH_HLEN + (offset >> 4) * 4;
}

/* Whether the IP packet, or what it will be cut into, is larger than `mtu`. */
static __always_inline bool exceeds(struct packet *packet, __u32 mtu)
{
	__u32 gso_size = packet->skb->gso_size;

	if (!gso_size)
		return packet->skb->len > mtu + ETH_HLEN;
	return is_ip(packet) && gso_size + segment_header(packet) > mtu;
}

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

/* From the gateway of the sender's subnet; on a relay that does not know the network, or where there
 * is no gateway, from the address that the packet was for. */
static __always_inline struct address answering_address(struct packet *packet)
{
	const struct subnet *subnet = subnet_of(packet, &packet->source);

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

/* A header in front of what is quoted. */
static __always_inline int too_big4(struct packet *packet, __u32 mtu)
{
	struct address from = answering_address(packet);
	struct {
		struct answer4 head;
		struct icmp_error icmp;
	} answer = {
		.head = begin_answer4(packet, &gateway_mac, from.words_be[3],
				      sizeof(struct icmp_error) + QUOTED4),
		.icmp = {
			.type = ICMP_UNREACHABLE,
			.code = ICMP_FRAG_NEEDED,
			.mtu = bpf_htonl(mtu),
		},
	};
	__u32 room = sizeof(struct iphdr) + sizeof(answer.icmp);
	__s64 sum = quote(packet, QUOTED4);

	if (sum < 0 || bpf_skb_adjust_room(packet->skb, room, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&answer.icmp, sizeof(answer.icmp), sum);
	answer.icmp.checksum = finished(sum);
	return bpf_skb_store_bytes(packet->skb, 0, &answer.head.ethernet, ETH_HLEN + room, 0);
}

static __always_inline int too_big6(struct packet *packet, __u32 mtu)
{
	struct address from = answering_address(packet);
	struct {
		struct answer6 head;
		struct icmp_error icmp;
	} answer = {
		.head = begin_answer6(packet, &gateway_mac, &from,
				      sizeof(struct icmp_error) + QUOTED6),
		.icmp = { .type = ICMPV6_TOO_BIG, .mtu = bpf_htonl(mtu) },
	};
	__u32 room = sizeof(struct ipv6hdr) + sizeof(answer.icmp);
	__s64 sum = quote(packet, QUOTED6);

	if (sum < 0 || bpf_skb_adjust_room(packet->skb, room, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	answer.icmp.checksum = checksum6(&answer.head, sizeof(answer.icmp), sum);
	return bpf_skb_store_bytes(packet->skb, 0, &answer.head.ethernet, ETH_HLEN + room, 0);
}

/* Makes the answer out of the packet; false: there is to be none, or it could not be made. */
static __noinline bool answer_too_big(struct packet *packet, __u32 mtu)
{
	if (!is_answerable(packet) ||
	    !is_within(&answers_v1, packet->ifindex, ANSWERS_BURST, ANSWER_EVERY_NS))
		return false;
	if (packet->ethertype == bpf_htons(ETH_P_IP))
		return !too_big4(packet, mtu);
	return !too_big6(packet, mtu);
}

static __always_inline int refuse_size(struct packet *packet, __u32 mtu)
{
	packet->skb->cb[REFUSED_MTU] = mtu;
	return TOO_BIG;
}

/* Drops the packet, and tells its sender: a port of this host, or the host. */
__cold_stage int refuse_too_big(struct __sk_buff *skb, __u32 vni)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex, .vni = vni };
	int verdict = drop(&packet, DROP_TOO_BIG);

	if (parse(&packet) != NEXT || !answer_too_big(&packet, skb->cb[REFUSED_MTU]))
		return verdict;
	if (packet.ifindex == weft.weft1_ifindex)
		return put_on_weft0(&packet);
	return deliver_to_sender(&packet);
}

#endif
