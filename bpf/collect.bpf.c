// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Ends flows that are over or that no rules are asked about any more, and removes them. On no hook: weftd runs it, with keys of flows in the place
 * of a packet. It looks at each flow once more, for a packet may have come since weftd did, and changes
 * entries as programs do: weftd could only replace them, under the eyes of a program that reads one. */
#include "maps.h"
#include "lib/ask.h"
#include "lib/flow_hold.h"
#include "lib/flow_state.h"
#include "lib/packet.h"
#include "lib/port.h"

/* The flow in question, as if a packet of it had come. False: it cannot be read. */
static __always_inline bool read_key(struct __sk_buff *skb, struct inquiry *inquiry, __u32 at)
{
	struct flow_key4 *four = &inquiry->key4;
	struct flow_key6 *six = &inquiry->key6;
	__be16 source, destination;

	if (inquiry->is_ipv4) {
		if (bpf_skb_load_bytes(skb, at, four, sizeof(*four)))
			return false;
		inquiry->source = from_ipv4(four->source_be);
		inquiry->destination = from_ipv4(four->destination_be);
		inquiry->protocol = four->protocol;
		source = four->source_port_be;
		destination = four->destination_port_be;
	} else {
		if (bpf_skb_load_bytes(skb, at, six, sizeof(*six)))
			return false;
		inquiry->source = six->source;
		inquiry->destination = six->destination;
		inquiry->protocol = six->protocol;
		source = six->source_port_be;
		destination = six->destination_port_be;
	}
	if (is_icmp(inquiry))
		set_icmp(inquiry, destination, source);
	else
		set_ports(inquiry, source, destination);
	return true;
}

static __always_inline bool has_ended(const struct inquiry *inquiry, const struct flow *flow,
				      __u32 work)
{
	if (is_over(inquiry, flow))
		return true;
	return flow->state == FLOW_NEW && now() - flow->seen > CROWDED_S * weft.jiffies_per_s &&
	       (work & COLLECT_CROWDED || is_crowding(hold_of(flow->owner), flow->owner));
}

static __always_inline bool is_judged_at(__u32 place, __u32 kind)
{
	const struct port *port = kind == FLOW_LEAVES ? port_of(place) : NULL;

	return port && port->flags & PORT_JUDGED;
}

/* Else its packets leave it alone: its ports are gone, or have no rules any more. */
static __always_inline bool is_in_use(const struct inquiry *inquiry, const struct flow *flow)
{
	__u32 place = inquiry->is_ipv4 ? inquiry->key4.place : inquiry->key6.place;
	__u32 kind = inquiry->is_ipv4 ? inquiry->key4.kind : inquiry->key6.kind;

	return is_judged_at(place, kind) || is_judged_at(flow->partner_place, flow->partner_kind);
}

/* A connection is over when both its directions are. */
static __always_inline bool is_partner_used(struct inquiry *inquiry, const struct flow *flow,
					    __u32 work)
{
	const struct flow *partner;

	if (flow->flags & (FLOW_ALONE | FLOW_DENIED))
		return false;
	set_partner(inquiry, flow->partner_place, flow->partner_kind);
	partner = partner_of(inquiry);
	return partner && !(partner->flags & (FLOW_ALONE | FLOW_DENIED)) &&
	       !has_ended(inquiry, partner, work);
}

static __always_inline int remove_flow(struct inquiry *inquiry, const struct flow *flow)
{
	__u32 owner = flow->owner;
	long error;

	if (flow->generation)
		return COLLECTED_LIVES;
	if (inquiry->is_ipv4)
		error = bpf_map_delete_elem(&flows4_v1, &inquiry->key4);
	else
		error = bpf_map_delete_elem(&flows6_v1, &inquiry->key6);
	if (error)
		return COLLECTED_GONE;
	take_from(owner);
	return COLLECTED_REMOVED;
}

__stage int collect_one(struct __sk_buff *skb, __u32 at, __u32 work)
{
	struct inquiry *inquiry = inquiry_of(skb);
	struct flow *flow;

	if (!inquiry)
		return COLLECTED_LIVES;
	inquiry->is_ipv4 = !(work & COLLECT_IPV6);
	if (!read_key(skb, inquiry, at))
		return COLLECTED_LIVES;
	flow = flow_of(inquiry);
	if (!flow)
		return COLLECTED_GONE;
	if (is_in_use(inquiry, flow) &&
	    (!has_ended(inquiry, flow, work) || is_partner_used(inquiry, flow, work)))
		return COLLECTED_LIVES;
	if (work & COLLECT_REMOVE)
		return remove_flow(inquiry, flow);
	flow->generation = 0;
	return COLLECTED_ENDED;
}

SEC("tc")
int collect(struct __sk_buff *skb)
{
	__u32 at = COLLECT_AT;
	__u32 size, spare;
	__u8 work, said;

	skb->cb[TRACE_TRIAL] = TRIAL;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &work, sizeof(work)))
		return TC_ACT_SHOT;
	size = work & COLLECT_IPV6 ? sizeof(struct flow_key6) : sizeof(struct flow_key4);
	spare = work & COLLECT_IPV6 ? offsetof(struct flow_key6, spare)
				    : offsetof(struct flow_key4, spare);
	for (int i = 0; i < COLLECT_KEYS; i++) {
		if (at + size > skb->len)
			break;
		said = collect_one(skb, at, work);
		if (bpf_skb_store_bytes(skb, at + spare, &said, sizeof(said), 0))
			break;
		at += size;
	}
	return TC_ACT_OK;
}

char program_license[] SEC("license") = "GPL";
