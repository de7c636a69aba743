// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Everything that a workload sends: on the ingress of the host's end of each port's veth. */
#include "maps.h"
#include "lib/arp.h"
#include "lib/count.h"
#include "lib/flood.h"
#include "lib/flood_judged.h"
#include "lib/flow.h"
#include "lib/hit.h"
#include "lib/nd.h"
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/port.h"
#include "lib/route.h"
#include "lib/route_far.h"
#include "lib/route_near.h"
#include "lib/spoof.h"
#include "lib/stray.h"
#include "lib/switch.h"
#include "lib/too_big.h"

static __always_inline int refuse(struct packet *packet, const struct port *port)
{
	struct __sk_buff *skb = packet->skb;
	int verdict;

	if (is_vlan(packet) || is_reserved_mac(&packet->destination_mac))
		return drop(packet, DROP_RESERVED);
	if (is_multicast_mac(&packet->source_mac))
		return drop(packet, DROP_SPOOFED_MAC);
	verdict = check_source(packet, port);
	if (verdict == NEXT && port->mtu && skb->len > port->mtu + ETH_HLEN && !skb->gso_size)
		return refuse_size(packet, port->mtu);
	return verdict;
}

static __always_inline int send_on(struct packet *packet)
{
	int verdict = NEXT;

	if (is_multicast_mac(&packet->destination_mac))
		return FLOOD;
	if (!is_same_mac(&packet->destination_mac, &gateway_mac))
		verdict = switch_frame(packet);
	return verdict != NEXT ? verdict : ROUTE;
}

/* What has been done about a packet when it is looked at again. */
enum done {
	RESOLVED =
		1
		<< 0, /* ARP, neighbour discovery and reports of groups: it goes on as others do */
	JUDGED = 1 << 1, /* the rules let it pass */
	ROUTED = 1 << 2, /* no router decides, */
	LOST = 1 << 3,	 /* or one does, and knows no way */
};

__stage int forward(struct __sk_buff *skb, const struct port *port, __u32 done)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };
	int verdict;

	if (!port)
		return TC_ACT_SHOT;
	packet.vni = port->vni;
	verdict = parse(&packet);
	if (verdict == NEXT)
		verdict = refuse(&packet, port);
	if (verdict != NEXT)
		return verdict;
	if (!(done & RESOLVED) && packet.ethertype == bpf_htons(ETH_P_ARP))
		return ARP;
	if (!(done & RESOLVED) && is_nd(&packet))
		return DISCOVERY;
	if (!(done & RESOLVED) && is_membership(&packet) &&
	    !is_multicast_mac(&packet.destination_mac))
		return MEMBERSHIP;
	packet.is_judged = done & JUDGED;
	if (port->flags & PORT_JUDGED && !packet.is_judged && is_ip(&packet))
		return ask(&packet, FLOW_LEAVES);
	return send_on(&packet);
}

/* What `forward` leaves to the gateway; its source is checked. */
__stage int send_routed(struct __sk_buff *skb, const struct port *port, __u32 done)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };
	struct routing *routing = routing_of(skb);
	int verdict;

	if (!port || !routing)
		return TC_ACT_SHOT;
	packet.vni = port->vni;
	packet.is_judged = done & JUDGED;
	packet.is_routed = done & ROUTED;
	packet.is_lost = done & LOST;
	verdict = parse(&packet);
	if (verdict != NEXT)
		return verdict;
	forget_kind(&packet, routing);
	begin_search(routing);
	return route(&packet, routing, port);
}

static __always_inline int forward_anywhere(struct __sk_buff *skb, const struct port *port,
					    __u32 done)
{
	int verdict = forward(skb, port, done);

	if (verdict != ROUTE)
		return verdict;
	verdict = take_near_route(skb, port, done & JUDGED);
	return verdict == NEXT ? send_routed(skb, port, done) : verdict;
}

static __always_inline int resolve_or_forward(struct __sk_buff *skb, const struct port *port)
{
	int verdict = forward_anywhere(skb, port, 0);

	if (verdict == ARP)
		verdict = handle_arp(skb, port);
	else if (verdict == DISCOVERY)
		verdict = handle_nd(skb, port);
	else if (verdict == MEMBERSHIP && port)
		verdict = handle_unicast_membership(skb, port->vni);
	if (verdict == SOLICITATION)
		return report_solicitation(skb);
	return verdict == NEXT ? forward_anywhere(skb, port, RESOLVED) : verdict;
}

/* To a MAC that nobody has. */
static __always_inline int resolve_stray(struct __sk_buff *skb, const struct port *port)
{
	int verdict = send_stray(skb, port->vni, port->flags & PORT_JUDGED);

	if (verdict != JUDGE)
		return verdict;
	verdict = track(skb);
	return verdict == NEXT ? send_stray(skb, port->vni, true) : verdict;
}

static __always_inline int flood_to_all_ports(struct __sk_buff *skb, __u32 vni)
{
	int verdict = flood(skb, vni, false);

	if (verdict != COPIES)
		return verdict;
	flood_judged(skb);
	return flood(skb, vni, true);
}

static __always_inline int route_or_leave(struct __sk_buff *skb, const struct port *port,
					  __u32 done)
{
	int verdict = route_far(skb, port, done & JUDGED);

	if (verdict == FAR)
		done |= LOST;
	else if (verdict != NEXT)
		return verdict;
	return send_routed(skb, port, RESOLVED | ROUTED | done);
}

static __always_inline int decide(struct __sk_buff *skb, const struct port *port)
{
	int verdict = NEXT;

	if (port->flags & PORT_JUDGED)
		verdict = take_short_way(skb, port);
	if (verdict == NEXT)
		verdict = resolve_or_forward(skb, port);

	if (verdict >= 0)
		return verdict;
	if (verdict == FAR)
		verdict = route_or_leave(skb, port, 0);
	if (verdict == JUDGE) {
		verdict = track(skb);
		if (verdict == NEXT)
			verdict = forward_anywhere(skb, port, RESOLVED | JUDGED);
		if (verdict == FAR)
			verdict = route_or_leave(skb, port, JUDGED);
	}
	if (verdict == FLOOD)
		return flood_to_all_ports(skb, port->vni);
	if (verdict == QUERY)
		return send_query(skb);
	if (verdict == STRAY)
		verdict = resolve_stray(skb, port);
	return verdict == REFUSED ? tell_sender(skb, port->vni) : verdict;
}

SEC("tc")
int from_port(struct __sk_buff *skb)
{
	const struct port *port = port_of(skb->ifindex);

	skb->cb[TRACE_TARGET] = 0;
	skb->cb[TRACE_REASON] = DROP_NONE;
	count_sent(skb);
	if (!port)
		return drop_skb(skb, DROP_NO_PORT);
	if (skb->vlan_present)
		return drop_skb(skb, DROP_RESERVED);
	return decide(skb, port);
}

char program_license[] SEC("license") = "GPL";
