/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Connections of judged ports. An entry is one direction of a connection: its state, and what was
 * decided about it, so that rules are read for its first packet alone. The first packet makes both
 * entries; the answers find theirs by what they show. A decision holds as long as nothing has changed
 * of what it was made from. */
#ifndef WEFT_FLOW_H
#define WEFT_FLOW_H

#include "reject.h"
#include "settle.h"

/* Who a packet is from and for is not in its key alone: with another MAC it goes to somebody else. */
static __always_inline bool has_macs(const struct inquiry *inquiry, const struct flow *flow)
{
	if (inquiry->kind == FLOW_ENTERS)
		return true;
	return is_same_mac(&inquiry->destination_mac, &flow->destination_mac) &&
	       (inquiry->kind == FLOW_ARRIVES ||
		is_same_mac(&inquiry->source_mac, &flow->source_mac));
}

/* What an answer to the packet would show that an ICMP error quotes. False: it cannot be read, or the
 * error is told to somebody who has not sent that packet. */
static __always_inline bool read_quoted(struct __sk_buff *skb, struct inquiry *inquiry)
{
	const struct ipv6hdr *ip6 = (const void *)inquiry->quoted;
	const struct iphdr *ip4 = (const void *)inquiry->quoted;
	__u32 size = inquiry->is_ipv4 ? sizeof(*ip4) : sizeof(*ip6);
	__u32 quoted = inquiry->l4 + L4_SIZE;
	struct tuple *answer = &inquiry->answer;
	__be16 *head = inquiry->quoted_l4;

	if (quoted + size > inquiry->end)
		return false;
	if (inquiry->is_ipv4) {
		if (bpf_skb_load_bytes(skb, quoted, inquiry->quoted, sizeof(*ip4)) ||
		    ip4->version != 4 || ip4->frag_off & bpf_htons(0x1fff))
			return false;
		size = ip4->ihl * 4;
		answer->protocol = ip4->protocol;
		answer->source = from_ipv4(ip4->daddr);
		answer->destination = from_ipv4(ip4->saddr);
	} else {
		if (bpf_skb_load_bytes(skb, quoted, inquiry->quoted, sizeof(*ip6)) ||
		    ip6->version != 6)
			return false;
		answer->protocol = ip6->nexthdr;
		__builtin_memcpy(&answer->source, &ip6->daddr, sizeof(answer->source));
		__builtin_memcpy(&answer->destination, &ip6->saddr, sizeof(answer->destination));
	}
	if (!is_same_address(&answer->destination, &inquiry->destination) ||
	    quoted + size + L4_SIZE > inquiry->end ||
	    bpf_skb_load_bytes(skb, quoted + size, head, L4_SIZE))
		return false;
	answer->source_port = 0;
	answer->destination_port = 0;
	if (has_ports(answer->protocol)) {
		answer->source_port = head[1];
		answer->destination_port = head[0];
	} else if (answer->protocol == (inquiry->is_ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		__u8 type = opposite_of(inquiry->is_ipv4, bpf_ntohs(head[0]) >> 8);

		answer->source_port = head[2];
		answer->destination_port = bpf_htons(type << 8 | (bpf_ntohs(head[0]) & 0xff));
	}
	return true;
}

static __always_inline bool is_in_force(const struct flow *flow)
{
	return flow && flow->generation && !(flow->flags & FLOW_DENIED) &&
	       flow->generation == generation_of(flow);
}

/* The entry of the quoted packet itself, which its sender has sent; `flow`: that of its answers. */
static __always_inline struct flow *quoted_flow_of(struct inquiry *inquiry, const struct flow *flow)
{
	struct tuple *quoted = &inquiry->answer;
	struct address source = quoted->destination;

	quoted->destination = quoted->source;
	quoted->source = source;
	if (has_ports(quoted->protocol)) {
		quoted->source_port = inquiry->quoted_l4[0];
		quoted->destination_port = inquiry->quoted_l4[1];
	} else if (quoted->protocol == (inquiry->is_ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		quoted->destination_port = inquiry->quoted_l4[0];
	}
	if (inquiry->is_ipv4)
		write_key4(&inquiry->partner4, quoted, flow->partner_place, flow->partner_kind);
	else
		write_key6(&inquiry->partner6, quoted, flow->partner_place, flow->partner_kind);
	return partner_of(inquiry);
}

/* An ICMP error passes as part of the flow whose packet it quotes, as long as the decision on that holds
 * in one of its directions: after a change of the rules the quoted packet has had it made anew. Who
 * tells may be a router on the way, and have another MAC than who would have answered. */
__cold_stage int is_related(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	const struct flow *flow;

	if (!inquiry || !read_quoted(skb, inquiry))
		return false;
	set_key(inquiry, &inquiry->answer);
	flow = flow_of(inquiry);
	if (!flow || !flow->generation || flow->flags & FLOW_DENIED)
		return false;
	if (inquiry->kind != FLOW_ENTERS &&
	    !is_same_mac(&inquiry->destination_mac, &flow->destination_mac))
		return false;
	return is_in_force(flow) || is_in_force(quoted_flow_of(inquiry, flow));
}

/* NEXT: the flow goes on. SETTLE: its entry does not decide. */
static __always_inline int use_flow(struct __sk_buff *skb, struct inquiry *inquiry,
				    struct flow *flow)
{
	__u32 generation = generation_of(flow);
	bool is_denied = flow->flags & FLOW_DENIED;

	if (is_over(inquiry, flow))
		return SETTLE;
	if (opens_anew(inquiry, flow)) {
		inquiry->is_reopened = true;
		return SETTLE;
	}
	inquiry->begins = is_denied;
	inquiry->is_answer = !is_denied && flow->flags & FLOW_ANSWERS;
	if (flow->generation != generation || !has_macs(inquiry, flow))
		return SETTLE;
	if (!(flow->flags & FLOW_FOLLOWED) && !inquiry->is_trial)
		return SETTLE;
	count_flow(inquiry, flow);
	if (is_denied) {
		count_rule_drop(inquiry, flow->flags & FLOW_AT_INGRESS ? flow->ingress_rule
								       : flow->egress_rule);
		return drop_skb(skb, DROP_POLICY);
	}
	advance(inquiry, flow);
	if (flow->generation != generation)
		return SETTLE;
	if (!inquiry->is_trial)
		shorten(flow);
	return NEXT;
}

__stage int look_up_flow(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	struct flow *flow;
	int reason;

	if (!inquiry)
		return TC_ACT_SHOT;
	reason = dissect(skb);
	if (reason != DROP_NONE)
		return drop_skb(skb, reason);
	if (inquiry->is_exempt)
		return NEXT;
	inquiry->begins = true;
	inquiry->is_answer = false;
	inquiry->is_reopened = false;
	if (inquiry->is_multicast)
		return SETTLE;
	if (inquiry->is_error && is_related(skb))
		return NEXT;
	set_own_key(inquiry);
	flow = flow_of(inquiry);
	return flow ? use_flow(skb, inquiry, flow) : SETTLE;
}

/* NEXT: the packet that was asked about goes on. */
static __always_inline int track(struct __sk_buff *skb)
{
	int verdict = look_up_flow(skb);

	if (verdict == SETTLE)
		verdict = settle_flow(skb);
	return verdict == REJECTED ? reject(skb) : verdict;
}

#endif
