/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Takes the outer header off: what remains is the frame that a port of another host has sent. */
#ifndef WEFT_DECAP_H
#define WEFT_DECAP_H

#include "count.h"
#include "deliver.h"
#include "ecn.h"
#include "packet.h"
#include "parse_outer.h"

#ifndef BPF_F_ADJ_ROOM_DECAP_L3_IPV4
#define BPF_F_ADJ_ROOM_DECAP_L3_IPV4 (1ULL << 7)
#define BPF_F_ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)
#endif

#define FRAME_MIN 60 /* of Ethernet; shorter ones are padded */

/* Kernels that do not know how to change the protocol along with the header still can translate the
 * header, which then goes anyway. -1: the packet is as it was, -2: it is spoilt. */
static __cold int pop_translated(struct packet *packet, bool is_outer_ipv6)
{
	bool is_ipv6 = packet->ethertype == bpf_htons(ETH_P_IPV6);
	__s32 size = is_ipv6 ? OUTER6_SIZE : OUTER4_SIZE;

	if (is_ipv6 == is_outer_ipv6 || bpf_skb_change_proto(packet->skb, packet->ethertype, 0))
		return -1;
	return bpf_skb_adjust_room(packet->skb, -size, BPF_ADJ_ROOM_MAC,
				   BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET)
		       ? -2
		       : 0;
}

/* The kernel does not shorten to less than an IP header; Ethernet does not either. */
static __cold int pad(struct packet *packet, __u32 size)
{
	__u32 least = size + FRAME_MIN;

	return packet->skb->len < least ? bpf_skb_change_tail(packet->skb, least, 0) : 0;
}

static __always_inline int pop(struct packet *packet, const struct arrival *arrival)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	__s32 size = arrival->is_ipv6 ? OUTER6_SIZE : OUTER4_SIZE;

	if (!is_ip(packet)) {
		if (pad(packet, size))
			return -1;
	} else if (arrival->is_ipv6 != (packet->ethertype == bpf_htons(ETH_P_IPV6))) {
		if (!weft.has_decap_l3)
			return pop_translated(packet, arrival->is_ipv6);
		flags |= arrival->is_ipv6 ? BPF_F_ADJ_ROOM_DECAP_L3_IPV4
					  : BPF_F_ADJ_ROOM_DECAP_L3_IPV6;
	}
	return bpf_skb_adjust_room(packet->skb, -size, BPF_ADJ_ROOM_MAC, flags) ? -1 : 0;
}

/* A row of datagrams in one packet. Nothing here can tell the kernel that it is in a tunnel no longer,
 * and when it cuts the row it would take the datagrams for VXLAN. TCP it cuts rightly. */
static __noinline bool is_datagram_row(struct packet *packet, const struct arrival *arrival)
{
	bool is_ipv4 = arrival->inner.type == bpf_htons(ETH_P_IP);
	__u32 offset =
		is_ipv4 ? offsetof(struct iphdr, protocol) : offsetof(struct ipv6hdr, nexthdr);
	__u8 protocol;

	return weft.weftx_ifindex &&
	       !bpf_skb_load_bytes(packet->skb, arrival->size + ETH_HLEN + offset, &protocol,
				   sizeof(protocol)) &&
	       protocol != IPPROTO_TCP;
}

/* Afterwards the packet is the inner frame. What the kernel cannot open this way is left to the VXLAN
 * device, behind which from_overlay sees it. */
static __always_inline int unpack(struct packet *packet, const struct arrival *arrival)
{
	int error;

	if (packet->skb->gso_size && is_datagram_row(packet, arrival))
		return PASS;
	error = pop(packet, arrival);
	if (error == -1)
		return PASS;
	/* One checksum that the network card has verified went with the header. */
	bpf_csum_level(packet->skb, BPF_CSUM_LEVEL_DEC);
	if (error || bpf_skb_store_bytes(packet->skb, 0, &arrival->inner, ETH_HLEN, 0))
		return drop(packet, DROP_KERNEL);
	if (arrival->header.traffic_class & ECN_SPECIAL && is_ip(packet))
		return merge_ecn(packet, arrival->header.traffic_class);
	return NEXT;
}

#endif
