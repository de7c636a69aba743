/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The inquiry about a packet: where it is, and how it begins. */
#ifndef WEFT_ASK_H
#define WEFT_ASK_H

#include "../maps.h"
#include "packet.h"

/* Every stage that needs it looks it up again: it costs nothing, and the verifier knows what it is. */
static __always_inline struct inquiry *inquiry_of(struct __sk_buff *skb)
{
	__u32 at = skb->cb[TRACE_TRIAL] == TRIAL;

	return bpf_map_lookup_elem(&inquiries_v1, &at);
}

/* `packet` is parsed. Afterwards `track` decides. */
static __always_inline int ask(struct packet *packet, enum flow_kind kind)
{
	struct inquiry *inquiry = inquiry_of(packet->skb);

	if (!inquiry)
		return TC_ACT_SHOT;
	inquiry->source = packet->source;
	inquiry->destination = packet->destination;
	copy_mac(&inquiry->source_mac, &packet->source_mac);
	copy_mac(&inquiry->destination_mac, &packet->destination_mac);
	inquiry->ifindex = packet->ifindex;
	inquiry->vni = packet->vni;
	inquiry->size = packet->skb->len;
	inquiry->l4 = packet->l4;
	inquiry->end = packet->end;
	inquiry->kind = kind;
	inquiry->protocol = packet->protocol;
	inquiry->is_ip = is_ip(packet);
	inquiry->is_ipv4 = packet->ethertype == bpf_htons(ETH_P_IP);
	inquiry->is_fragment = packet->is_fragment;
	inquiry->is_later_fragment = packet->is_later_fragment;
	inquiry->behind_fragment = packet->behind_fragment;
	inquiry->is_trial = packet->skb->cb[TRACE_TRIAL] == TRIAL;
	inquiry->is_multicast = kind != FLOW_ENTERS && is_multicast_mac(&packet->destination_mac);
	return JUDGE;
}

#endif
