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

static __always_inline void count_sent(struct __sk_buff *skb)
{
	struct counters *counters = counters_of(skb->ifindex);

	if (counters) {
		counters->tx_packets += 1;
		counters->tx_bytes += skb->len;
	}
}

/* The first one, usually. */
__cold_stage int count_first_received(__u32 ifindex, __u32 bytes)
{
	struct counters *counters = make_counters(ifindex);

	if (counters) {
		counters->rx_packets += 1;
		counters->rx_bytes += bytes;
	}
	return 0;
}

static __always_inline void count_received(__u32 ifindex, __u32 bytes)
{
	struct counters *counters = bpf_map_lookup_elem(&counters_v1, &ifindex);

	if (counters) {
		counters->rx_packets += 1;
		counters->rx_bytes += bytes;
	} else {
		count_first_received(ifindex, bytes);
	}
}

__cold_stage int count_drop(struct __sk_buff *skb, __u32 reason)
{
	struct counters *counters = counters_of(skb->ifindex);

	if (counters && reason < DROP_REASONS)
		counters->drops[reason] += 1;
	skb->cb[TRACE_REASON] = reason;
	return 0;
}

static __always_inline int drop_skb(struct __sk_buff *skb, enum drop_reason reason)
{
	count_drop(skb, reason);
	return TC_ACT_SHOT;
}

/* What comes from other hosts counts only when it is dropped: their own counters have the rest. */
static __always_inline int drop(struct packet *packet, enum drop_reason reason)
{
	return drop_skb(packet->skb, reason);
}

/* Nobody needs to get it, and nothing is wrong with it: a probe for the sender's own address. */
static __always_inline int absorb(void)
{
	return TC_ACT_SHOT;
}

#endif
