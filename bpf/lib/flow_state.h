/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* How a flow stands: whether it is over, whether what was decided about it still holds, and what its
 * packets tell of its state. State outlives decisions. */
#ifndef WEFT_FLOW_STATE_H
#define WEFT_FLOW_STATE_H

#include "flow_key.h"

#define SPREAD 0x9e3779b1u /* 2^32 over the golden ratio */

static __always_inline __u32 now(void)
{
	return bpf_jiffies64();
}

/* Without a packet the flow is over after so long: settings, by default as RFC 5382 has it for TCP, 4787
 * for UDP and 5508 for ICMP. */
static __always_inline __u32 lifetime_s(const struct inquiry *inquiry, const struct flow *flow)
{
	if (inquiry->protocol == IPPROTO_TCP) {
		if (flow->state == FLOW_ESTABLISHED)
			return weft.tcp_established_s;
		if (flow->state == FLOW_CLOSING)
			return weft.tcp_closing_s;
		return flow->state == FLOW_CLOSED ? weft.tcp_closed_s : weft.tcp_new_s;
	}
	if (is_icmp(inquiry))
		return weft.icmp_s;
	if (!has_ports(inquiry->protocol))
		return weft.other_s;
	return flow->state == FLOW_NEW ? weft.udp_new_s : weft.udp_established_s;
}

static __always_inline bool is_over(const struct inquiry *inquiry, const struct flow *flow)
{
	if (flow->flags & FLOW_DENIED)
		return now() - flow->created > weft.denied_s * weft.jiffies_per_s;
	return now() - flow->seen > lifetime_s(inquiry, flow) * weft.jiffies_per_s;
}

/* Of TCP: begins a connection. */
static __always_inline bool is_opening(const struct inquiry *inquiry)
{
	return (inquiry->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

/* The ports of a connection that has ended are used again (RFC 9293 3.6.1). */
static __always_inline bool opens_anew(const struct inquiry *inquiry, const struct flow *flow)
{
	return inquiry->protocol == IPPROTO_TCP && is_opening(inquiry) &&
	       flow->state >= FLOW_CLOSING;
}

static __always_inline __u32 number_in(__u32 slot)
{
	const struct generation *generation = bpf_map_lookup_elem(&generations_v1, &slot);

	return generation ? generation->number : 0;
}

/* Each number only grows, so their sum tells that one has; never 0 but once in 2^32. */
static __always_inline __u32 generation_of(const struct flow *flow)
{
	return 1 + number_in(flow->network_slot) + number_in(flow->source_rules_slot) +
	       number_in(flow->destination_rules_slot) + number_in(flow->source_slot) +
	       number_in(flow->destination_slot) + number_in(flow->next_hop_slot);
}

/* As in src/weft/engine/ebpf/policy/slots.py. */
static __always_inline __u16 slot_of(const struct address *address)
{
	__u32 words = address->words_be[0] ^ address->words_be[1] ^ address->words_be[2] ^
		      address->words_be[3];

	return bpf_ntohl(words) * SPREAD >> 20;
}

/* State. */

/* The other direction learns what this one has seen. */
static __always_inline void tell_partner(struct inquiry *inquiry, const struct flow *flow,
					 __u8 state)
{
	struct flow *partner;

	if (flow->flags & FLOW_ALONE)
		return;
	set_partner(inquiry, flow->partner_place, flow->partner_kind);
	partner = partner_of(inquiry);
	if (!partner || partner->flags & FLOW_DENIED)
		return;
	partner->state = state;
	if (flow->flags & FLOW_FIN)
		partner->flags |= FLOW_PEER_FIN;
}

static __always_inline __u8 state_after(const struct inquiry *inquiry, struct flow *flow)
{
	if (inquiry->protocol == IPPROTO_TCP) {
		if (inquiry->tcp_flags & TCP_RST)
			return FLOW_CLOSED;
		if (inquiry->tcp_flags & TCP_FIN && !(flow->flags & FLOW_FIN)) {
			flow->flags |= FLOW_FIN;
			return flow->flags & FLOW_PEER_FIN ? FLOW_CLOSED : FLOW_CLOSING;
		}
	}
	if (flow->state == FLOW_NEW && flow->flags & FLOW_ANSWERS)
		return FLOW_ESTABLISHED;
	return flow->state;
}

static __always_inline void advance(struct inquiry *inquiry, struct flow *flow)
{
	__u8 state = inquiry->is_trial ? flow->state : state_after(inquiry, flow);

	if (state == flow->state)
		return;
	flow->state = state;
	tell_partner(inquiry, flow, state);
}

static __always_inline void count_flow(const struct inquiry *inquiry, struct flow *flow)
{
	if (inquiry->is_trial)
		return;
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->octets, inquiry->size);
	if (flow->seen != now())
		flow->seen = now();
}

static __always_inline void count_rule_drop(const struct inquiry *inquiry, __u32 number)
{
	struct rule_count *count = bpf_map_lookup_elem(&rule_counts_v1, &number);

	if (count && !inquiry->is_trial)
		count->drops += 1;
}

static __always_inline void count_rule_flow(const struct inquiry *inquiry, __u32 row, __u32 number)
{
	struct rule_count *count = bpf_map_lookup_elem(&rule_counts_v1, &number);

	if (count && row != UNJUDGED && !inquiry->is_trial)
		count->flows += 1;
}

#endif
