/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Whose entries of flows are whose. Each counts for one port of this host: the one that its connection
 * begins at or, if it begins elsewhere, the one that it is for. A port has so many and no more. */
#ifndef WEFT_FLOW_HOLD_H
#define WEFT_FLOW_HOLD_H

#include "ask.h"
#include "../maps.h"
#include "packet.h"

/* Ports whose devices have no berth share one number, and no bound. */
static __always_inline __u16 owner_of(const struct inquiry *inquiry)
{
	__u32 berth = berth_of(inquiry->kind == FLOW_LEAVES ? inquiry->ifindex
							    : inquiry->receiver_ifindex);

	return berth < BERTHS ? berth + 1 : 0;
}

static __always_inline struct flow_hold *hold_of(__u32 owner)
{
	return bpf_map_lookup_elem(&flow_holds_v1, &owner);
}

/* So that two CPUs at once may give a port a few entries more. */
static __always_inline bool has_room(struct flow_hold *hold, __u32 owner)
{
	if (!hold || !owner || hold->entries < weft.flows_of_port)
		return true;
	__sync_fetch_and_add(&hold->refused, 1);
	return false;
}

/* Whether it has so many that connections which nobody answers are not to keep others out. */
static __always_inline bool is_crowding(const struct flow_hold *hold, __u32 owner)
{
	return hold && owner && hold->entries / 4 >= weft.flows_of_port / 5;
}

static __always_inline void add_to(struct flow_hold *hold)
{
	if (hold)
		__sync_fetch_and_add(&hold->entries, 1);
}

static __always_inline void take_from(__u32 owner)
{
	struct flow_hold *hold = hold_of(owner);

	if (hold && hold->entries)
		__sync_fetch_and_add(&hold->entries, -1);
}

#endif
