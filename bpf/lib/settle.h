/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The decision on a packet that no entry decides on: a flow's first one, or the first one after
 * something has changed. The rules of both ends are asked, as far as they are ports of this host. */
#ifndef WEFT_SETTLE_H
#define WEFT_SETTLE_H

#include "count.h"
#include "far.h"
#include "flow_write.h"
#include "judge.h"
#include "port.h"

static __always_inline __u32 row_of(const struct port *port)
{
	return port && port->flags & PORT_JUDGED ? port->rules : UNJUDGED;
}

/* Which the gateway may hand to weftd, wherever a router leads; see dns.h. */
static __always_inline bool is_query(const struct inquiry *inquiry)
{
	return inquiry->destination_port == DNS_PORT &&
	       (inquiry->protocol == IPPROTO_UDP || inquiry->protocol == IPPROTO_TCP);
}

/* What the way has been that `find_far_receiver` has followed. */
static __always_inline void note_far(struct inquiry *inquiry, const struct routing *routing)
{
	inquiry->destination_vni = routing->vni;
	inquiry->remote.vni = routing->vni;
	inquiry->remote.address = routing->next;
	inquiry->way_mtu = routing->mtu;
	inquiry->hops = is_query(inquiry) ? 0 : HOPS_UNKNOWN - routing->hop_limit + 1;
	if (!is_same_address(&routing->next, &inquiry->destination))
		inquiry->next_hop_slot = slot_of(&routing->next);
}

/* Where the packet is about to go; as switch.h, route.h, stray.h and arrive.h do. */
static __always_inline const struct endpoint *receiver_of(struct __sk_buff *skb,
							  struct inquiry *inquiry)
{
	struct mac_key key = { .vni = inquiry->vni };
	const struct endpoint *endpoint;
	const struct routing *routing;
	bool is_routed = true;

	copy_mac(&key.mac, &inquiry->destination_mac);
	inquiry->is_for_gateway = is_same_mac(&key.mac, &gateway_mac);
	if (inquiry->kind != FLOW_ENTERS && !inquiry->is_for_gateway) {
		endpoint = bpf_map_lookup_elem(&macs_v1, &key);
		if (endpoint &&
		    (endpoint->tunnel || !(endpoint->flags & (ENDPOINT_HOST | ENDPOINT_GATEWAY))))
			return endpoint;
		is_routed = endpoint;
	}
	inquiry->remote.vni = inquiry->vni;
	inquiry->remote.address = inquiry->destination;
	endpoint = bpf_map_lookup_elem(&addresses_v1, &inquiry->remote);
	if (endpoint && inquiry->kind == FLOW_LEAVES)
		inquiry->hops = is_routed;
	if (endpoint || inquiry->kind != FLOW_LEAVES || !find_far_receiver(skb))
		return endpoint;
	routing = routing_of(skb);
	if (!routing)
		return NULL;
	note_far(inquiry, routing);
	return bpf_map_lookup_elem(&addresses_v1, &inquiry->remote);
}

__stage int find_ends(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	const struct endpoint *receiver;

	if (!inquiry)
		return 0;
	inquiry->sender_row = UNJUDGED;
	inquiry->receiver_row = UNJUDGED;
	inquiry->receiver_ifindex = 0;
	inquiry->receiver_tunnel = 0;
	inquiry->hops = 0;
	inquiry->way_mtu = 0;
	inquiry->next_hop_slot = 0;
	inquiry->source_vni = inquiry->vni;
	inquiry->destination_vni = inquiry->vni;
	if (inquiry->kind == FLOW_ARRIVES)
		inquiry->source_vni = find_far_sender(skb);
	if (inquiry->kind == FLOW_LEAVES)
		inquiry->sender_row = row_of(port_of(inquiry->ifindex));
	if (inquiry->is_multicast)
		return 0;
	receiver = receiver_of(skb, inquiry);
	if (!receiver)
		return 0;
	copy_mac(&inquiry->receiver_mac, &receiver->mac);
	inquiry->receiver_tunnel = receiver->tunnel;
	inquiry->receiver_way = receiver->way;
	inquiry->receiver_flags = receiver->flags;
	inquiry->receiver_ifindex = receiver->tunnel ? 0 : receiver->ifindex;
	if (inquiry->receiver_ifindex)
		inquiry->receiver_row = row_of(port_of(inquiry->receiver_ifindex));
	return 0;
}

/* Before anything is read that decides: what it is that is read. */
__stage int note_generation(struct __sk_buff *skb)
{
	const struct port_rules *sender = NULL, *receiver = NULL;
	struct inquiry *inquiry = inquiry_of(skb);
	struct flow *flow;

	if (!inquiry)
		return 0;
	flow = &inquiry->flow;
	if (inquiry->sender_row != UNJUDGED)
		sender = bpf_map_lookup_elem(&port_rules_v1, &inquiry->sender_row);
	if (inquiry->receiver_row != UNJUDGED)
		receiver = bpf_map_lookup_elem(&port_rules_v1, &inquiry->receiver_row);
	flow->network_slot = sender ? sender->network_slot : receiver ? receiver->network_slot : 0;
	flow->source_rules_slot = sender ? sender->port_slot : 0;
	flow->destination_rules_slot = receiver ? receiver->port_slot : 0;
	flow->source_slot = slot_of(&inquiry->source);
	flow->destination_slot = slot_of(&inquiry->destination);
	flow->next_hop_slot = inquiry->next_hop_slot;
	inquiry->is_strict = (sender && sender->flags & RULES_STRICT) ||
			     (receiver && receiver->flags & RULES_STRICT);
	flow->generation = generation_of(flow);
	return 0;
}

static __always_inline void ask_of(struct inquiry *inquiry, __u32 direction, bool is_senders)
{
	inquiry->direction = direction;
	inquiry->remote.vni = is_senders ? inquiry->destination_vni : inquiry->source_vni;
	inquiry->remote.address = is_senders ? inquiry->destination : inquiry->source;
	inquiry->may_be_host =
		direction == INGRESS && inquiry->kind == (is_senders ? FLOW_LEAVES : FLOW_ENTERS);
	inquiry->may_be_dns = direction == EGRESS && is_senders && inquiry->kind == FLOW_LEAVES &&
			      inquiry->is_for_gateway && !inquiry->is_fragment &&
			      !inquiry->is_multicast && !inquiry->receiver_ifindex &&
			      !inquiry->receiver_tunnel;
}

/* A connection that goes on although no rule lets it begin any more: the one that did says so. */
static __always_inline void keep(struct inquiry *inquiry)
{
	__u32 number = inquiry->direction == EGRESS ? inquiry->flow.egress_rule
						    : inquiry->flow.ingress_rule;
	const struct rule *rule;

	if (inquiry->action == RULE_ALLOW || inquiry->begins || inquiry->is_multicast ||
	    inquiry->flow.state < FLOW_ESTABLISHED || !number)
		return;
	rule = bpf_map_lookup_elem(&rules_v1, &number);
	if (!rule || !(rule->flags & RULE_KEEPS))
		return;
	inquiry->action = RULE_ALLOW;
	inquiry->rule = number;
}

/* Whether both ends' rules let the connection begin in the direction in which it did: the sender's
 * egress and the receiver's ingress, or, of an answer, the receiver's egress and the sender's ingress. */
static __always_inline bool is_allowed(struct __sk_buff *skb, struct inquiry *inquiry)
{
	bool is_answer = inquiry->is_answer;
	__be16 port = is_answer ? inquiry->answer_destination_port : inquiry->destination_port;

	inquiry->point =
		(inquiry->is_ipv4 ? 4U : 6U) << 24 | inquiry->protocol << 16 | bpf_ntohs(port);
	inquiry->first_source_port = is_answer ? inquiry->answer_source_port : inquiry->source_port;
	inquiry->rules[INGRESS] = 0;
	inquiry->rules[EGRESS] = 0;
	inquiry->row = is_answer ? inquiry->receiver_row : inquiry->sender_row;
	if (inquiry->row != UNJUDGED) {
		ask_of(inquiry, EGRESS, !is_answer);
		judge(skb);
		keep(inquiry);
		inquiry->rules[EGRESS] = inquiry->rule;
		if (inquiry->action != RULE_ALLOW)
			return false;
	}
	inquiry->row = is_answer ? inquiry->sender_row : inquiry->receiver_row;
	if (inquiry->row != UNJUDGED) {
		ask_of(inquiry, INGRESS, is_answer);
		judge(skb);
		keep(inquiry);
		inquiry->rules[INGRESS] = inquiry->rule;
		if (inquiry->action != RULE_ALLOW)
			return false;
	}
	return true;
}

/* What of the flow's state remains when it is decided on anew. */
static __always_inline void keep_state(struct inquiry *inquiry, const struct flow *former)
{
	struct flow *flow = &inquiry->flow;

	flow->flags = former->flags & (FLOW_ANSWERS | FLOW_ALONE | FLOW_FIN | FLOW_PEER_FIN);
	flow->state = former->state;
	flow->packets = former->packets;
	flow->octets = former->octets;
	flow->created = former->created;
	flow->egress_rule = former->egress_rule;
	flow->ingress_rule = former->ingress_rule;
}

/* A connection that has lost this direction's entry, or did not use it for long, but still has the
 * other one. */
static __always_inline void join_partner(struct inquiry *inquiry)
{
	struct flow *flow = &inquiry->flow;
	const struct flow *partner;

	if (inquiry->is_alone || inquiry->is_reopened)
		return;
	set_opposite_place(inquiry);
	set_partner(inquiry, flow->partner_place, flow->partner_kind);
	partner = partner_of(inquiry);
	if (!partner || partner->flags & (FLOW_DENIED | FLOW_ALONE) || is_over(inquiry, partner) ||
	    opens_anew(inquiry, partner))
		return;
	inquiry->begins = false;
	inquiry->is_answer = !(partner->flags & FLOW_ANSWERS);
	flow->flags = (inquiry->is_answer ? FLOW_ANSWERS : 0) |
		      (partner->flags & FLOW_FIN ? FLOW_PEER_FIN : 0) |
		      (partner->flags & FLOW_PEER_FIN ? FLOW_FIN : 0);
	flow->state = partner->state;
	flow->packets = 0;
	flow->octets = 0;
	flow->created = partner->created;
	flow->egress_rule = partner->egress_rule;
	flow->ingress_rule = partner->ingress_rule;
}

/* What is known of the flow, if it does not begin. */
static __always_inline void recall_state(struct inquiry *inquiry)
{
	const struct flow *flow = inquiry->begins ? NULL : flow_of(inquiry);

	if (flow)
		keep_state(inquiry, flow);
	else
		join_partner(inquiry);
}

static __always_inline int deny(struct __sk_buff *skb, struct inquiry *inquiry)
{
	struct flow *flow = &inquiry->flow;

	count_rule_drop(inquiry, inquiry->rule);
	if (inquiry->is_multicast)
		return drop_skb(skb, DROP_POLICY);
	if (inquiry->begins) {
		flow->packets = 0;
		flow->octets = 0;
		flow->flags = 0;
	}
	fill_common(inquiry, FLOW_NEW);
	flow->flags = (flow->flags & FLOW_ANSWERS) | FLOW_DENIED |
		      (inquiry->direction == INGRESS ? FLOW_AT_INGRESS : 0);
	write_own(skb);
	drop_skb(skb, DROP_POLICY);
	return inquiry->action == RULE_REJECT ? REJECTED : TC_ACT_SHOT;
}

static __always_inline void go_on(struct inquiry *inquiry)
{
	struct flow *flow = flow_of(inquiry);

	if (flow)
		advance(inquiry, flow);
}

static __always_inline bool forgets(__u32 number)
{
	const struct rule *rule = bpf_map_lookup_elem(&rules_v1, &number);

	return number && rule && rule->flags & RULE_FORGETS;
}

/* Of one of the two rules that let the flow begin: each packet is judged by itself, whoever it is from. */
static __always_inline bool is_stateless(const struct inquiry *inquiry)
{
	return forgets(inquiry->rules[EGRESS]) || forgets(inquiry->rules[INGRESS]);
}

/* Whether both ends let the packet's flow begin; or, amidst a TCP connection that is not known (the host
 * has been started again), let it begin in the one or the other direction. */
static __always_inline bool is_fit(struct __sk_buff *skb, struct inquiry *inquiry, bool is_amidst)
{
	__u32 direction, action, rule, egress, ingress;

	if (is_allowed(skb, inquiry))
		return true;
	if (!is_amidst)
		return false;
	direction = inquiry->direction;
	action = inquiry->action;
	rule = inquiry->rule;
	egress = inquiry->rules[EGRESS];
	ingress = inquiry->rules[INGRESS];
	inquiry->is_answer = true;
	if (is_allowed(skb, inquiry) && !is_stateless(inquiry))
		return true;
	inquiry->is_answer = false;
	inquiry->direction = direction;
	inquiry->action = action;
	inquiry->rule = rule;
	inquiry->rules[EGRESS] = egress;
	inquiry->rules[INGRESS] = ingress;
	return false;
}

static __always_inline int begin(struct __sk_buff *skb, struct inquiry *inquiry, bool is_amidst)
{
	count_rule_flow(inquiry, inquiry->sender_row, inquiry->rules[EGRESS]);
	count_rule_flow(inquiry, inquiry->receiver_row, inquiry->rules[INGRESS]);
	fill_common(inquiry, is_amidst ? FLOW_ESTABLISHED : FLOW_NEW);
	if (write_both(skb))
		go_on(inquiry);
	else if (inquiry->is_strict)
		return drop_skb(skb, DROP_FLOWS_FULL);
	return NEXT;
}

/* Decides on a packet that no entry decides on, and remembers it. */
__stage int settle_flow(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	bool is_amidst;

	if (!inquiry)
		return TC_ACT_SHOT;
	find_ends(skb);
	note_generation(skb);
	find_ends(skb);
	if (inquiry->next_hop_slot != inquiry->flow.next_hop_slot)
		inquiry->flow.generation = 0; /* the way has just changed: it tells nothing */
	if ((inquiry->sender_row == UNJUDGED && inquiry->receiver_row == UNJUDGED) ||
	    inquiry->receiver_ifindex == inquiry->ifindex)
		return NEXT;
	if (!inquiry->is_multicast)
		recall_state(inquiry);
	is_amidst = inquiry->begins && inquiry->protocol == IPPROTO_TCP && !is_opening(inquiry);
	if (is_amidst && inquiry->is_strict)
		return is_allowed(skb, inquiry) && is_stateless(inquiry)
			       ? NEXT
			       : drop_skb(skb, DROP_NO_FLOW);
	/* What is sent to many answers nobody. */
	if (is_fit(skb, inquiry, is_amidst && !inquiry->is_multicast)) {
		if (inquiry->is_multicast || (inquiry->begins && is_stateless(inquiry)))
			return NEXT;
		if (inquiry->begins)
			return begin(skb, inquiry, is_amidst);
		inquiry->flow.egress_rule = inquiry->rules[EGRESS];
		inquiry->flow.ingress_rule = inquiry->rules[INGRESS];
	} else {
		return deny(skb, inquiry);
	}
	write_own(skb);
	go_on(inquiry);
	return NEXT;
}

#endif
