/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Frames to a MAC that nobody has: an address has come back with another MAC, and the sender has not
 * heard of it. IP is delivered to who has the address now, in the same network, as its gateway would,
 * but with no hop counted: the sender meant its neighbour. Anything else goes nowhere. */
#ifndef WEFT_STRAY_H
#define WEFT_STRAY_H

#include "ask.h"
#include "deliver.h"
#include "encap.h"
#include "packet.h"
#include "parse.h"
#include "router.h"

/* Where the packet's destination address is; NULL: not at a port, nor the host's own place. */
static __always_inline const struct endpoint *endpoint_of_address(struct packet *packet)
{
	const struct endpoint *endpoint;

	if (!is_ip(packet))
		return NULL;
	endpoint = bpf_map_lookup_elem(&addresses_v1, &packet->place);
	if (!endpoint || endpoint->flags & ENDPOINT_GATEWAY)
		return NULL;
	return endpoint;
}

/* To a port here, or to the host's own place; `kind`: from where. */
static __always_inline int deliver_by_address(struct packet *packet,
					      const struct endpoint *endpoint, enum flow_kind kind)
{
	struct mac mac = endpoint->mac;

	if (endpoint->flags & ENDPOINT_HOST)
		return deliver_to_host(packet);
	if (!endpoint->ifindex)
		return drop(packet, DROP_NO_ROUTE);
	if (must_ask(packet, endpoint))
		return ask(packet, kind);
	if (bpf_skb_store_bytes(packet->skb, 0, &mac, sizeof(mac), 0))
		return drop(packet, DROP_KERNEL);
	return deliver_to_port(packet, endpoint);
}

/* From a port of this host. `is_judged`: rules have let it pass. */
__cold_stage int send_stray(struct __sk_buff *skb, __u32 vni, __u32 is_judged)
{
	struct packet packet = {
		.skb = skb,
		.ifindex = skb->ifindex,
		.vni = vni,
		.is_judged = is_judged,
	};
	struct routing *routing = routing_of(skb);
	const struct endpoint *endpoint;
	int verdict = parse(&packet);

	if (verdict != NEXT)
		return verdict;
	if (!routing)
		return TC_ACT_SHOT;
	forget_kind(&packet, routing);
	endpoint = endpoint_of_address(&packet);
	if (!endpoint || endpoint->ifindex == packet.ifindex)
		return drop(&packet, DROP_UNKNOWN_MAC);
	if (!endpoint->tunnel)
		return deliver_by_address(&packet, endpoint, FLOW_LEAVES);
	copy_mac(&packet.destination_mac, &endpoint->mac);
	return send_to_host(&packet, endpoint, false);
}

#endif
