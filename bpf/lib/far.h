/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Where the ends of a flow are that goes from one network to another: rules name networks and groups, and
 * an address is somebody in one network alone. */
#ifndef WEFT_FAR_H
#define WEFT_FAR_H

#include "../maps.h"
#include "ask.h"
#include "packet.h"
#include "router.h"
#include "unroutable.h"

#define HOPS_UNKNOWN 255 /* the limit of a packet that no router finds expired */

static __always_inline const struct subnet *subnet_in(struct routing *routing, __u32 vni,
						      const struct address *address)
{
	routing->subnet.prefixlen = 32 + 128;
	routing->subnet.vni = vni;
	routing->subnet.address = *address;
	return bpf_map_lookup_elem(&subnets_v1, &routing->subnet);
}

/* Where routers lead the packet of a port here, as route_far.h follows them: `routing_of` has the network
 * and the address there. 0: nowhere. */
__stage int find_far_receiver(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	struct routing *routing = routing_of(skb);
	int kind;

	if (!inquiry || !routing)
		return 0;
	routing->source = inquiry->source;
	routing->destination = inquiry->destination;
	routing->hop_limit = HOPS_UNKNOWN;
	if (is_unroutable(&inquiry->destination) ||
	    subnet_in(routing, inquiry->vni, &inquiry->destination) ||
	    !begin_at(routing, inquiry->vni, &inquiry->destination_mac,
		      subnet_in(routing, inquiry->vni, &inquiry->source)))
		return 0;
	routing->flow =
		flow_hash(skb, routing, inquiry->protocol, inquiry->is_fragment ? 0 : inquiry->l4);
	kind = find_way(skb);
	return kind == ROUTE_CONNECTED || kind == ROUTE_VIA;
}

/* The network from which another host's port has sent to one here: where the way back leads. */
__stage int find_far_sender(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	struct routing *routing = routing_of(skb);

	if (!inquiry || !routing)
		return 0;
	routing->source = inquiry->destination;
	routing->destination = inquiry->source;
	routing->hop_limit = HOPS_UNKNOWN;
	routing->flow = 0;
	if (subnet_in(routing, inquiry->vni, &inquiry->source) ||
	    !begin_at(routing, inquiry->vni, &gateway_mac,
		      subnet_in(routing, inquiry->vni, &inquiry->destination)))
		return inquiry->vni;
	return find_way(skb) == ROUTE_CONNECTED ? routing->vni : inquiry->vni;
}

#endif
