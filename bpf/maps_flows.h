/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Maps of flows: programs write them, and weftd reads them. See maps.h. */
#ifndef WEFT_MAPS_FLOWS_H
#define WEFT_MAPS_FLOWS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* One direction of a connection of a judged port, IPv4 -> its state, and what was decided. Made and
 * written by programs, read by weftd, which deletes what has been idle for too long. A hash, not LRU,
 * which would forget living connections when others begin; when it is full, new ones find no room.
 * 131072: 64 000 connections. 192 bytes each, taken as they come: a host without rules needs none. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct flow_key4);
	__type(value, struct flow);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} flows4_v1 SEC(".maps");

/* The same, IPv6. Apart, or keys of IPv4 would be as long. 216 bytes each. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct flow_key6);
	__type(value, struct flow);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} flows6_v1 SEC(".maps");

/* Berth + 1 of a port -> how many entries of flows count for it; 0: for all devices without a berth. So that
 * one workload does not take the room of all. Written by programs, read by weftd.
 * 8 bytes each, 128 KiB. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct flow_hold);
	__uint(max_entries, BERTHS + 1);
} flow_holds_v1 SEC(".maps");

/* A packet in pieces -> the ports of its first piece. Written and read by programs, for judged ports.
 * The least recently used goes when it is full, and what remains of that packet is dropped.
 * 8192: packets in pieces on their way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
	__uint(max_entries, 8192);
} fragments_v1 SEC(".maps");

/* 0 -> how many entries of flows were made, and how many found no room. Written by programs, read by
 * weftd. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct flow_counts);
	__uint(max_entries, 1);
} flow_counts_v1 SEC(".maps");

#endif
