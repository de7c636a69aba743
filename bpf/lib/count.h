/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a packet counts as. tx is what a workload sent, dropped or not; rx what it was given. A GSO
 * packet is one packet and its bytes are counted once, as on a veth. Every drop has a reason. */
#ifndef WEFT_COUNT_H
#define WEFT_COUNT_H

#include "../maps.h"
#include "packet.h"

/* NULL: the device has no berth, and weftd does not count it. */
static __always_inline struct counters *counters_of(__u32 ifindex)
{
	__u32 berth = berth_of(ifindex);

	if (berth < BERTHS)
		return bpf_map_lookup_elem(&counters_v2, &berth);
	return bpf_map_lookup_elem(&other_counters_v1, &ifindex);
}

static __always_inline void count_sent(struct __sk_buff *skb)
{
	struct counters *counters = counters_of(skb->ifindex);

	if (counters) {
		counters->tx_packets += 1;
		counters->tx_bytes += skb->len;
	}
}

static __always_inline void count_received(__u32 ifindex, __u32 bytes)
{
	struct counters *counters = counters_of(ifindex);

	if (counters) {
		counters->rx_packets += 1;
		counters->rx_bytes += bytes;
	}
}

__cold_stage int count_drop(struct __sk_buff *skb, __u32 reason)
{
	struct drop_key key = { .ifindex = skb->ifindex, .reason = reason };
	struct drop_count *count = bpf_map_lookup_elem(&drops_v1, &key);
	struct drop_count none = {};

	skb->cb[TRACE_REASON] = reason;
	if (!count) {
		/* Another CPU may be faster. */
		bpf_map_update_elem(&drops_v1, &key, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&drops_v1, &key);
	}
	if (count)
		count->packets += 1;
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
