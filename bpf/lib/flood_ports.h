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
	bool is_to_members;
};

static __always_inline const struct flood *port_in_slot(const struct flooding *flooding, __u32 slot)
{
	struct packet *packet = flooding->packet;
	struct flood_key key = { .vni = packet->vni, .slot = slot };

	if (!flooding->is_to_members)
		return bpf_map_lookup_elem(&flood_v1, &key);
	packet->position = slot;
	return bpf_map_lookup_elem(&group_ports_v1, &packet->member);
}

static long flood_slot(__u32 slot, struct flooding *flooding)
{
	const struct flood *port = port_in_slot(flooding, slot);

	if (!port || port->ifindex == flooding->packet->ifindex)
		return 0;
	/* A device that is just going away refuses it, and takes its counters with it. */
	if (!bpf_clone_redirect(flooding->packet->skb, port->ifindex, 0))
		count_received(port->ifindex, flooding->bytes);
	return 0;
}

static __always_inline void flood_ports(struct packet *packet, const struct network *network,
					bool is_to_members)
{
	__u32 slots = network->slot_count < SLOTS_MAX ? network->slot_count : SLOTS_MAX;
	struct flooding flooding = {
		.packet = packet,
		.bytes = packet->skb->len,
		.is_to_members = is_to_members,
	};

	bpf_loop(slots, flood_slot, &flooding, 0);
}

#endif
