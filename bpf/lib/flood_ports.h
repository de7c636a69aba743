/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is flooded, to the ports of this host: a copy for each one of the network but the sender. */
#ifndef WEFT_FLOOD_PORTS_H
#define WEFT_FLOOD_PORTS_H

#include "../maps.h"
#include "count.h"
#include "packet.h"

#define SLOTS_MAX 16384 /* bounds the time that one packet may take */

struct flooding {
	struct __sk_buff *skb;
	__u32 vni;
	__u32 sender;
	__u32 bytes;
};

static long flood_slot(__u32 slot, struct flooding *flooding)
{
	struct flood_key key = { .vni = flooding->vni, .slot = slot };
	const struct flood *port = bpf_map_lookup_elem(&flood_v1, &key);

	if (!port || port->ifindex == flooding->sender)
		return 0;
	/* A device that is just going away refuses it, and takes its counters with it. */
	if (!bpf_clone_redirect(flooding->skb, port->ifindex, 0))
		count_received(port->ifindex, flooding->bytes);
	return 0;
}

static __always_inline void flood_ports(struct packet *packet, const struct network *network)
{
	__u32 slots = network->slot_count < SLOTS_MAX ? network->slot_count : SLOTS_MAX;
	struct flooding flooding = {
		.skb = packet->skb,
		.vni = packet->vni,
		.sender = packet->ifindex,
		.bytes = packet->skb->len,
	};

	bpf_loop(slots, flood_slot, &flooding, 0);
}

#endif
