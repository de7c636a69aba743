/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is flooded, to the judged ports of this host: each one's rules are asked about its copy. They get
 * theirs before all others, out of the packet as it came. No flow comes of a copy, for what answers it
 * does not come from the address that it was sent to. */
#ifndef WEFT_FLOOD_JUDGED_H
#define WEFT_FLOOD_JUDGED_H

#include "../maps.h"
#include "flood_ports.h"
#include "settle.h"

struct judged_flooding {
	struct __sk_buff *skb;
	struct inquiry *inquiry;
};

static __always_inline bool may_get_copy(struct __sk_buff *skb, struct inquiry *inquiry,
					 __u32 ifindex)
{
	if (inquiry->is_exempt)
		return true;
	inquiry->is_answer = false;
	inquiry->sender_row = UNJUDGED;
	inquiry->receiver_row = row_of(port_of(ifindex));
	if (!inquiry->refusal && is_allowed(skb, inquiry))
		return true;
	if (!inquiry->refusal)
		count_rule_drop(inquiry, inquiry->rule);
	drop_skb(skb, inquiry->refusal ? inquiry->refusal : DROP_POLICY);
	return false;
}

static __always_inline const struct flood *judged_in_slot(struct __sk_buff *skb,
							  struct inquiry *inquiry, __u32 slot)
{
	struct flood_key key = { .vni = inquiry->vni, .slot = slot };

	if (!skb->cb[FLOOD_TO_MEMBERS])
		return bpf_map_lookup_elem(&flood_v1, &key);
	inquiry->member.vni = inquiry->vni;
	inquiry->member.address = inquiry->destination;
	inquiry->member.member = slot;
	return bpf_map_lookup_elem(&multicast_ports_v1, &inquiry->member);
}

static long flood_judged_slot(__u32 slot, struct judged_flooding *flooding)
{
	const struct flood *port = judged_in_slot(flooding->skb, flooding->inquiry, slot);

	if (!port || !(port->flags & FLOOD_JUDGED) || port->ifindex == flooding->inquiry->ifindex ||
	    !may_get_copy(flooding->skb, flooding->inquiry, port->ifindex))
		return 0;
	if (!bpf_clone_redirect(flooding->skb, port->ifindex, 0))
		count_received(port->ifindex, flooding->inquiry->size);
	return 0;
}

/* The packet that was asked about. */
__cold_stage int flood_judged(struct __sk_buff *skb)
{
	struct judged_flooding flooding = { .skb = skb, .inquiry = inquiry_of(skb) };
	const struct network *network;
	__u32 slots;

	if (!flooding.inquiry)
		return 0;
	flooding.inquiry->refusal = dissect(skb);
	network = bpf_map_lookup_elem(&networks_v1, &flooding.inquiry->vni);
	if (!network)
		return 0;
	slots = network->slot_count < SLOTS_MAX ? network->slot_count : SLOTS_MAX;
	bpf_loop(slots, flood_judged_slot, &flooding, 0);
	return 0;
}

#endif
