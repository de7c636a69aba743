/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is flooded, to the ports of this host: a copy for each one of the network, or of those that are
 * members of the group, but the sender. */
#ifndef WEFT_FLOOD_PORTS_H
#define WEFT_FLOOD_PORTS_H

#include "../maps.h"
#include "count.h"
#include "packet.h"

#define SLOTS_MAX 16384 /* bounds the time that one packet may take */

struct flooding {
	struct packet *packet;
	__u32 bytes;
};

/* 0: none, or one that has its copy already: see flood_judged.h. */
static __noinline __u32 port_in_slot(struct packet *packet, __u32 slot)
{
	struct flood_key key = { .vni = packet->vni, .slot = slot };
	const struct flood *port;

	packet->receiver = slot;
	port = packet->skb->cb[FLOOD_TO_MEMBERS]
		       ? bpf_map_lookup_elem(&multicast_ports_v1, &packet->member)
		       : bpf_map_lookup_elem(&flood_v1, &key);
	return port && !(port->flags & FLOOD_JUDGED) ? port->ifindex : 0;
}

static long flood_slot(__u32 slot, struct flooding *flooding)
{
	__u32 ifindex = port_in_slot(flooding->packet, slot);

	if (!ifindex || ifindex == flooding->packet->ifindex)
		return 0;
	/* A device that is just going away refuses it, and takes its counters with it. */
	if (!bpf_clone_redirect(flooding->packet->skb, ifindex, 0))
		count_received(ifindex, flooding->bytes);
	return 0;
}

static __always_inline void flood_ports(struct packet *packet, const struct network *network)
{
	__u32 slots = network->slot_count < SLOTS_MAX ? network->slot_count : SLOTS_MAX;
	struct flooding flooding = {
		.packet = packet,
		.bytes = packet->skb->len,
	};

	bpf_loop(slots, flood_slot, &flooding, 0);
}

#endif
