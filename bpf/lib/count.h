/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a packet counts as. tx is what a workload sent, dropped or not; rx what it was given. A GSO
 * packet is one packet and its bytes are counted once, as on a veth. Every drop has a reason. */
#ifndef WEFT_COUNT_H
#define WEFT_COUNT_H

#include "../maps.h"
#include "packet.h"

static const volatile struct counters no_counts = {};

/* Fails when another CPU was faster, or the map is full: then the packet is not counted. */
static __always_inline struct counters *make_counters(__u32 ifindex)
{
	bpf_map_update_elem(&counters_v1, &ifindex, (const void *)&no_counts, BPF_NOEXIST);
	return bpf_map_lookup_elem(&counters_v1, &ifindex);
}

static __cold void make_first_counters(__u32 ifindex)
{
	make_counters(ifindex);
}

static __always_inline struct counters *counters_of(__u32 ifindex)
{
	struct counters *counters = bpf_map_lookup_elem(&counters_v1, &ifindex);

	if (counters)
		return counters;
	make_first_counters(ifindex);
	return bpf_map_lookup_elem(&counters_v1, &ifindex);
}

static __always_inline void count_sent(struct packet *packet)
{
	packet->counters = counters_of(packet->ifindex);
	if (packet->counters) {
		packet->counters->tx_packets += 1;
		packet->counters->tx_bytes += packet->skb->len;
	}
}

static __noinline void count_received(__u32 ifindex, __u32 bytes)
{
	struct counters *counters = counters_of(ifindex);

	if (counters) {
		counters->rx_packets += 1;
		counters->rx_bytes += bytes;
	}
}

/* What comes from other hosts counts only when it is dropped: their own counters have the rest. */
static __cold int drop(struct packet *packet, enum drop_reason reason)
{
	if (!packet->counters)
		packet->counters = bpf_map_lookup_elem(&counters_v1, &packet->ifindex);
	if (!packet->counters)
		packet->counters = make_counters(packet->ifindex);
	if (packet->counters && reason < DROP_REASONS)
		packet->counters->drops[reason] += 1;
	packet->skb->cb[TRACE_REASON] = reason;
	return TC_ACT_SHOT;
}

/* Nobody needs to get it, and nothing is wrong with it: a probe for the sender's own address. */
static __always_inline int absorb(void)
{
	return TC_ACT_SHOT;
}

#endif
