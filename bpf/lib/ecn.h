/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Congestion that the outer header met becomes the inner packet's (RFC 6040 4.2). */
#ifndef WEFT_ECN_H
#define WEFT_ECN_H

#include "count.h"
#include "outer.h"
#include "packet.h"
#include "parse.h"

#define ECN_NONE 0
#define ECN_ECT1 1
#define ECN_ECT0 2
#define ECN_CE	 3

#define ECN_SPECIAL 1 /* bit of ECT(1) and CE, the only ones that change anything */

/* `first` is that of the two first bytes of the IP header; ECN lies in the second. */
static __always_inline int write_ecn(struct packet *packet, const __u8 before[2], __u8 ecn)
{
	bool is_ipv4 = packet->ethertype == bpf_htons(ETH_P_IP);
	__u8 shift = is_ipv4 ? 0 : 4;
	__u8 after[2] = { before[0], (before[1] & ~(ECN_MASK << shift)) | ecn << shift };

	if (is_ipv4 && bpf_l3_csum_replace(packet->skb, ETH_HLEN + offsetof(struct iphdr, check),
					   bpf_htons(before[0] << 8 | before[1]),
					   bpf_htons(after[0] << 8 | after[1]), 2))
		return -1;
	return bpf_skb_store_bytes(packet->skb, ETH_HLEN, after, sizeof(after),
				   is_ipv4 ? 0 : BPF_F_RECOMPUTE_CSUM);
}

static __cold int merge_ecn(struct packet *packet, __u8 outer)
{
	__u8 first[2];
	__u8 inner;

	if (bpf_skb_load_bytes(packet->skb, ETH_HLEN, first, sizeof(first)))
		return drop(packet, DROP_MALFORMED);
	inner = (packet->ethertype == bpf_htons(ETH_P_IP) ? first[1] : first[1] >> 4) & ECN_MASK;
	outer &= ECN_MASK;
	if (inner == ECN_NONE)
		return outer == ECN_CE ? drop(packet, DROP_CONGESTION) : NEXT;
	if (inner == ECN_CE || inner == outer || (inner == ECN_ECT1 && outer != ECN_CE))
		return NEXT;
	return write_ecn(packet, first, outer) ? drop(packet, DROP_KERNEL) : NEXT;
}

#endif
