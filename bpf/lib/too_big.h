/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Packets that the way ahead cannot carry. The sender is told by ICMP "fragmentation needed" (RFC
 * 1191) or ICMPv6 "packet too big" (RFC 4443 3.2); see icmp_error.h. Weft never fragments, so that DF
 * makes no difference. */
#ifndef WEFT_TOO_BIG_H
#define WEFT_TOO_BIG_H

#include "icmp_error.h"
#include "packet.h"

#define TCP_OFFSET_POSITION 12 /* of the byte whose upper half is the header's length */

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

static __always_inline bool answer_too_big(struct packet *packet, __u32 mtu)
{
	return answer_error(packet, mtu & REFUSAL_MTU);
}

static __always_inline int refuse_size(struct packet *packet, __u32 mtu)
{
	packet->skb->cb[REFUSAL] = mtu & REFUSAL_MTU;
	return REFUSED;
}

#endif
