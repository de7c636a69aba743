/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Maps of routers. See maps.h. */
#ifndef WEFT_MAPS_ROUTES_H
#define WEFT_MAPS_ROUTES_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "lib/routing.h"

/* (table, prefix) -> where packets for the prefix go. Written by weftd, read for what is routed to no
 * address of the sender's network.
 * 65536: as subnets_v1. 320 bytes each, taken as they come. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct route_key);
	__type(value, struct route);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} routes_v1 SEC(".maps");

/* (VNI, MAC) -> the table of the router that has the MAC there. Written by weftd, read for what is sent to
 * a router's own MAC, or to a gateway from outside of all subnets.
 * 32768: two for each network of networks_v1. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct mac_key);
	__type(value, struct router);
	__uint(max_entries, 32768);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} routers_v1 SEC(".maps");

/* 0 -> the way that a packet is looked for; 1: the same of a packet that is no real one, see TRACE_TRIAL.
 * Written and read by programs alone, and worth nothing between two packets. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct routing);
	__uint(max_entries, 2);
} routings_v1 SEC(".maps");

#endif
