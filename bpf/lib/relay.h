/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Packets between two other hosts that do not reach each other. The outer header is rewritten where
 * it is: unpacked and packed again, a packet would lose how it can be cut into segments. A relay needs
 * no port on the network. */
#ifndef WEFT_RELAY_H
#define WEFT_RELAY_H

#include "encap.h"
#include "outer.h"
#include "packet.h"
#include "parse_outer.h"
#include "rewrite.h"
#include "too_big.h"
#include "way.h"

/* Headers of each segment of an inner packet that is still packed; 0: not to be told. */
static __always_inline __u32 packed_segment_header(struct packet *packet,
						   const struct arrival *arrival)
{
	bool is_ipv4 = arrival->inner.type == bpf_htons(ETH_P_IP);
	__u32 ip = arrival->size + ETH_HLEN;
	__u32 size = sizeof(struct ipv6hdr);
	__u8 protocol, offset;

	if (is_ipv4) {
		if (bpf_skb_load_bytes(packet->skb, ip, &offset, sizeof(offset)))
			return 0;
		size = (offset & 0xf) * 4;
	}
	if (bpf_skb_load_bytes(packet->skb,
			       ip + (is_ipv4 ? offsetof(struct iphdr, protocol)
					     : offsetof(struct ipv6hdr, nexthdr)),
			       &protocol, sizeof(protocol)))
		return 0;
	if (protocol != IPPROTO_TCP)
		return size + 8;
	if (bpf_skb_load_bytes(packet->skb, ip + size + TCP_OFFSET_POSITION, &offset,
			       sizeof(offset)))
		return 0;
	return size + (offset >> 4) * 4;
}

static __always_inline bool packed_exceeds(struct packet *packet, const struct arrival *arrival,
					   __u32 mtu)
{
	__u32 gso_size = packet->skb->gso_size;

	if (!gso_size)
		return packet->skb->len > arrival->size + ETH_HLEN + mtu;
	return gso_size + packed_segment_header(packet, arrival) > mtu;
}

/* As long as the kernel takes it for a tunnel's packet it does not let it be cut down to an answer. So
 * the VXLAN device unpacks it, which would not take a tag, and from_overlay answers. */
static __cold int refuse_packed(struct packet *packet, const struct arrival *arrival, __u32 mtu)
{
	int verdict = drop(packet, DROP_TOO_BIG);
	struct vxlan vxlan = {
		.flags = bpf_htonl(VXLAN_VALID),
		.vni = bpf_htonl(arrival->header.vni << 8),
	};

	if (!weft.weftx_ifindex || bpf_skb_store_bytes(packet->skb, arrival->size - sizeof(vxlan),
						       &vxlan, sizeof(vxlan), 0))
		return verdict;
	packet->skb->mark = MARK_TOO_BIG | mtu;
	return PASS;
}

/* Without the flags, only taking a VLAN tag out of a packet has the kernel look at what is behind it
 * (skb_vlan_pop). A tag is in the packet once another one is put before it. bpf_skb_change_proto would
 * do, but for packets that are to be cut: it takes the inner header for the one that it changes. */
static __cold int translate_by_tags(struct packet *packet, bool is_ipv6)
{
	__s32 difference = OUTER6_SIZE - OUTER4_SIZE;
	__be16 type = is_ipv6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	struct __sk_buff *skb = packet->skb;

	return bpf_skb_adjust_room(skb, is_ipv6 ? difference : -difference, BPF_ADJ_ROOM_MAC,
				   BPF_F_ADJ_ROOM_FIXED_GSO) ||
	       bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &type, sizeof(type), 0) ||
	       bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 1) ||
	       bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 1) || bpf_skb_vlan_pop(skb) ||
	       bpf_skb_vlan_pop(skb);
}

/* Between underlays of different families: the header grows or shrinks, and the kernel has to know
 * what it is now. */
static __cold int translate(struct packet *packet, bool is_ipv6)
{
	__s32 difference = OUTER6_SIZE - OUTER4_SIZE;
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;

	if (!weft.has_decap_l3)
		return translate_by_tags(packet, is_ipv6);
	if (!is_ipv6)
		return bpf_skb_adjust_room(packet->skb, -difference, BPF_ADJ_ROOM_MAC,
					   flags | BPF_F_ADJ_ROOM_DECAP_L3_IPV4);
	/* Only shrinking changes the protocol. */
	return bpf_skb_adjust_room(packet->skb, 2 * difference, BPF_ADJ_ROOM_MAC,
				   BPF_F_ADJ_ROOM_FIXED_GSO) ||
	       bpf_skb_adjust_room(packet->skb, -difference, BPF_ADJ_ROOM_MAC,
				   flags | BPF_F_ADJ_ROOM_DECAP_L3_IPV6);
}

/* A tag leads one hop on, and every hop counts. The header is changed in place. */
static __noinline int relay(struct packet *packet, struct arrival *arrival)
{
	struct overlay_header *header = &arrival->header;
	struct tunnel *tunnel = tunnel_to(header->tag);

	if (!tunnel || !tunnel->ifindex || is_astray(tunnel) ||
	    is_same_address(&tunnel->remote, &arrival->source))
		return drop(packet, DROP_NO_TUNNEL);
	note_use(tunnel);
	if (header->hop_limit <= 1)
		return drop(packet, DROP_TTL);
	/* No host sends such; what it covers is about to change. */
	if (arrival->has_checksum)
		return drop(packet, DROP_MALFORMED);
	if (packed_exceeds(packet, arrival, tunnel->mtu))
		return refuse_packed(packet, arrival, tunnel->mtu);
	header->hop_limit -= 1;
	header->tag = tunnel->flags & TUNNEL_RELAY ? tunnel->destination_tag : 0;
	if ((arrival->is_ipv6 != is_outer_ipv6(tunnel) &&
	     translate(packet, is_outer_ipv6(tunnel))) ||
	    write_outer(packet->skb, tunnel, header))
		return drop(packet, DROP_KERNEL);
	return send_to_underlay(packet, tunnel);
}

#endif
