/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Whom a frame is sent to, for those who ask for their neighbours (arp.h, nd.h). */
#ifndef WEFT_NEIGHBOUR_H
#define WEFT_NEIGHBOUR_H

#include "../maps.h"
#include "packet.h"

/* To a MAC of a router: the gateways', or its own. */
static __always_inline bool is_to_router(struct packet *packet)
{
	struct mac_key key = { .vni = packet->vni, .mac = packet->destination_mac };
	const struct endpoint *endpoint;

	if (is_same_mac(&packet->destination_mac, &gateway_mac))
		return true;
	if (is_multicast_mac(&packet->destination_mac))
		return false;
	endpoint = bpf_map_lookup_elem(&macs_v1, &key);
	return endpoint && endpoint->flags & ENDPOINT_GATEWAY;
}

/* To a MAC of its own that nobody has. */
static __always_inline bool is_lost(struct packet *packet)
{
	struct mac_key key = { .vni = packet->vni, .mac = packet->destination_mac };

	return !is_multicast_mac(&packet->destination_mac) && !bpf_map_lookup_elem(&macs_v1, &key);
}

#endif
