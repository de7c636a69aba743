/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Entries of flows. They are changed in place, and are nobody's while their generation is 0: one that is
 * replaced or deleted may become another flow's under the eyes of a program. */
#ifndef WEFT_FLOW_WRITE_H
#define WEFT_FLOW_WRITE_H

#include "flow_hold.h"
#include "flow_state.h"

#ifndef EEXIST
#define EEXIST 17
#endif

/* All that was written is seen before all that will be, by all CPUs. */
static __always_inline void order_writes(struct flow *flow)
{
	__sync_val_compare_and_swap(&flow->generation, 0, 0);
}

static __always_inline void overwrite(struct flow *flow, struct flow *with)
{
	__u32 generation = with->generation;

	flow->generation = 0;
	order_writes(flow);
	with->generation = 0;
	*flow = *with;
	order_writes(flow);
	flow->generation = generation;
	with->generation = generation;
}

/* Writes `flow` of the inquiry where its key says. 0: there is no room; 2: it was not there before. */
__stage int write_flow(struct __sk_buff *skb, __u32 is_partner)
{
	struct inquiry *inquiry = inquiry_of(skb);
	struct flow_counts *counts;
	struct flow_hold *hold;
	struct flow *flow;
	__u32 all = 0;
	long error;

	if (!inquiry || inquiry->is_trial)
		return 1;
	flow = is_partner ? partner_of(inquiry) : flow_of(inquiry);
	if (flow) {
		inquiry->flow.owner = flow->owner;
		overwrite(flow, &inquiry->flow);
		return 1;
	}
	inquiry->flow.owner = owner_of(inquiry);
	hold = hold_of(inquiry->flow.owner);
	if (!has_room(hold, inquiry->flow.owner))
		return 0;
	if (inquiry->is_ipv4)
		error = bpf_map_update_elem(&flows4_v1,
					    is_partner ? &inquiry->partner4 : &inquiry->key4,
					    &inquiry->flow, BPF_NOEXIST);
	else
		error = bpf_map_update_elem(&flows6_v1,
					    is_partner ? &inquiry->partner6 : &inquiry->key6,
					    &inquiry->flow, BPF_NOEXIST);
	if (error == -EEXIST) /* another CPU was faster, and decided from the same */
		return 1;
	counts = bpf_map_lookup_elem(&flow_counts_v1, &all);
	if (counts && error)
		counts->refused += 1;
	else if (counts)
		counts->made += 1;
	if (error)
		return 0;
	add_to(hold);
	return 2;
}

static __always_inline void forget_partner(struct inquiry *inquiry)
{
	struct flow *partner = partner_of(inquiry);
	__u32 owner;

	if (!partner)
		return;
	owner = partner->owner;
	partner->generation = 0;
	if (!(inquiry->is_ipv4 ? bpf_map_delete_elem(&flows4_v1, &inquiry->partner4)
			       : bpf_map_delete_elem(&flows6_v1, &inquiry->partner6)))
		take_from(owner);
}

/* Where the other direction's packets come from, and with which MACs. */
static __always_inline void set_opposite_place(struct inquiry *inquiry)
{
	struct flow *flow = &inquiry->flow;

	if (inquiry->kind != FLOW_LEAVES || inquiry->receiver_ifindex) {
		flow->partner_kind = FLOW_LEAVES;
		flow->partner_place = inquiry->receiver_ifindex;
	} else {
		flow->partner_kind = inquiry->receiver_tunnel ? FLOW_ARRIVES : FLOW_ENTERS;
		flow->partner_place = inquiry->vni;
	}
}

/* Where the packets of a direction go that are switched, or arrive; as switch.h and arrive.h do. */
static __always_inline void set_way(struct inquiry *inquiry)
{
	struct mac_key key = { .vni = inquiry->vni };
	struct flow *flow = &inquiry->flow;
	const struct endpoint *endpoint;

	copy_mac(&key.mac, &flow->destination_mac);
	endpoint = bpf_map_lookup_elem(&macs_v1, &key);
	if (!endpoint || endpoint->flags & (ENDPOINT_HOST | ENDPOINT_REDIRECT))
		return;
	if (endpoint->tunnel) {
		flow->target = endpoint->tunnel;
		flow->way = endpoint->way;
		flow->flags |= FLOW_TUNNELLED;
	} else if (endpoint->ifindex) {
		flow->target = endpoint->ifindex;
	}
}

/* Where the packets of a port here go that this host routes; as route.h and route_far.h do. */
static __always_inline void set_routed_way(struct inquiry *inquiry)
{
	struct flow *flow = &inquiry->flow;

	if (inquiry->way_mtu > 0xffff ||
	    inquiry->receiver_flags & (ENDPOINT_HOST | ENDPOINT_GATEWAY | ENDPOINT_REDIRECT))
		return;
	flow->target = inquiry->receiver_ifindex;
	if (inquiry->receiver_tunnel) {
		flow->target = inquiry->receiver_tunnel;
		flow->way = inquiry->receiver_way;
		flow->flags |= FLOW_TUNNELLED;
	}
	flow->hops = inquiry->hops;
	flow->vni = inquiry->destination_vni;
	flow->mtu = inquiry->way_mtu;
	copy_mac(&flow->new_destination_mac, &inquiry->receiver_mac);
}

/* A packet of this very direction has come the long way, so its sender may send what they show. */
static __always_inline void shorten(struct flow *flow)
{
	if (flow->target && !(flow->flags & FLOW_SHORT))
		flow->flags |= FLOW_SHORT;
}

static __always_inline void fill_partner(struct inquiry *inquiry)
{
	bool is_routed = inquiry->kind == FLOW_ENTERS ||
			 is_same_mac(&inquiry->destination_mac, &gateway_mac);
	struct flow *flow = &inquiry->flow;

	copy_mac(&flow->source_mac, &inquiry->receiver_mac);
	copy_mac(&flow->destination_mac, is_routed && flow->partner_kind == FLOW_LEAVES
						 ? &gateway_mac
						 : &inquiry->source_mac);
	flow->flags = inquiry->is_answer ? 0 : FLOW_ANSWERS;
	flow->target = 0;
	flow->hops = 0;
	/* The way of what is routed is followed when there is something: it need not lead back. */
	if (!is_routed || flow->partner_kind != FLOW_LEAVES || inquiry->kind == FLOW_ENTERS)
		flow->flags |= FLOW_FOLLOWED;
	if (flow->partner_kind != FLOW_ENTERS)
		set_way(inquiry);
	flow->partner_kind = inquiry->kind;
	flow->partner_place = place_of(inquiry);
	flow->packets = 0;
	flow->octets = 0;
}

static __always_inline void fill_own(struct inquiry *inquiry)
{
	struct flow *flow = &inquiry->flow;

	copy_mac(&flow->source_mac, &inquiry->source_mac);
	copy_mac(&flow->destination_mac, &inquiry->destination_mac);
	set_opposite_place(inquiry);
	flow->flags |= FLOW_FOLLOWED;
	flow->target = 0;
	flow->hops = 0;
	if (flow->flags & FLOW_DENIED)
		return;
	if (inquiry->hops)
		set_routed_way(inquiry);
	else if (inquiry->kind != FLOW_ENTERS)
		set_way(inquiry);
	shorten(flow);
}

/* A flow that begins; both directions have in common: */
static __always_inline void fill_common(struct inquiry *inquiry, __u8 state)
{
	struct flow *flow = &inquiry->flow;

	flow->seen = now();
	flow->created = flow->seen;
	flow->state = state;
	flow->egress_rule = inquiry->rules[EGRESS];
	flow->ingress_rule = inquiry->rules[INGRESS];
}

/* Both entries, the partner's first: who finds one finds the other. False: there is no room. */
__stage int write_both(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	int partner = 1;
	struct flow *flow;

	if (!inquiry)
		return false;
	flow = &inquiry->flow;
	if (!inquiry->is_alone) {
		set_opposite_place(inquiry);
		set_partner(inquiry, flow->partner_place, flow->partner_kind);
		fill_partner(inquiry);
		partner = write_flow(skb, true);
		if (!partner)
			return false;
	}
	flow->flags =
		(inquiry->is_answer ? FLOW_ANSWERS : 0) | (inquiry->is_alone ? FLOW_ALONE : 0);
	fill_own(inquiry);
	flow->packets = 1;
	flow->octets = inquiry->size;
	if (write_flow(skb, false))
		return true;
	if (partner == 2)
		forget_partner(inquiry);
	return false;
}

/* The entry that is there, or that the partner's lack has made necessary, decided anew. */
__stage int write_own(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	struct flow *flow;

	if (!inquiry)
		return 0;
	flow = &inquiry->flow;
	fill_own(inquiry);
	flow->seen = now();
	flow->packets += 1;
	flow->octets += inquiry->size;
	return write_flow(skb, false);
}

#endif
