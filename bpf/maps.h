/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The maps of the packet path. Layouts are in abi.h.
 *
 * All are pinned by name and shared by all programs of a host. Unless a comment says otherwise a
 * map is written and read back by weftd, read by programs, and nothing is evicted: what weftd does
 * not delete stays, and when a map is full weftd is told so and says it. Entries of hashes are allocated
 * as they come (NO_PREALLOC), so a size costs 16 bytes an entry at most. An array is there whole, and
 * what is all zero in it is no entry. Maps of rules, of flows and of routers have files of their own.
 */
#ifndef WEFT_MAPS_H
#define WEFT_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "lib/inquiry.h"
#include "lib/near_mac.h"
#include "lib/near_route.h"
#include "maps_flows.h"
#include "maps_routes.h"
#include "maps_rules.h"

/* Berth -> the sender behind the device. Read once a packet.
 * 64 bytes each, 1 MiB in all. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct port);
	__uint(max_entries, BERTHS);
} ports_v2 SEC(".maps");

/* ifindex of a port's device on the host -> the same of devices without a berth.
 * 65536: four times what has one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct port);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} other_ports_v1 SEC(".maps");

/* (VNI, address) -> where it lives. Read for ARP, ND and routed packets; link-local addresses are found
 * by their MACs.
 * 524288: every address of all networks that have a port on this host, five for each of the 100 000
 * ports that a mesh is made for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct address_key);
	__type(value, struct endpoint);
	__uint(max_entries, 524288);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} addresses_v1 SEC(".maps");

/* (VNI, MAC) -> where it lives. Read for switched packets.
 * 262144: two for each of 100 000 ports. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct mac_key);
	__type(value, struct endpoint);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} macs_v1 SEC(".maps");

/* 0 -> which edition macs_v1 is. Written by weftd, read for switched packets. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct edition);
	__uint(max_entries, 1);
} macs_edition_v1 SEC(".maps");

/* The lower bits of MAC and VNI -> an entry of macs_v1 that the CPU has looked up, found without a hash's
 * price; see near.h. Written and read by programs alone. 64 bytes each, 64 KiB a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct near_mac);
	__uint(max_entries, NEAR_MACS + 1);
} near_macs_v1 SEC(".maps");

/* 0 -> which edition the maps are that ways are made from: addresses_v1, subnets_v1, routes_v1 and routers_v1.
 * Written by weftd, read for routed packets. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct edition);
	__uint(max_entries, 1);
} routes_edition_v1 SEC(".maps");

/* A mixture of sender, receiver and network -> the end of a way that the CPU has followed; see route_near.h.
 * Written and read by programs alone. 88 bytes each, 44 KiB a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct near_route);
	__uint(max_entries, NEAR_ROUTES);
} near_routes_v1 SEC(".maps");

/* VNI -> the network. Read for what is flooded.
 * 16384: networks with a port on this host. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct network);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} networks_v1 SEC(".maps");

/* (VNI, slot) -> a port that broadcast reaches; slots are dense, holes are skipped.
 * 65536: as other_ports_v1. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct flood_key);
	__type(value, struct flood);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} flood_v1 SEC(".maps");

/* (VNI, tag) -> the next host with a port on the network, by rising tags: a chain that begins at tag 0
 * and ends where nothing follows. Read for what is flooded. One that comes or goes changes the entry
 * before its own and no other, so nobody else misses a packet.
 * 262144: 16384 networks on 16 hosts each. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct replica_key);
	__type(value, struct replica);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} replicas_v2 SEC(".maps");

/* (VNI, multicast address) -> a group with members somewhere. Read for multicast on networks that
 * snoop.
 * 65536: four groups on each of 16384 networks. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct multicast_key);
	__type(value, struct multicast_group);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} multicast_groups_v1 SEC(".maps");

/* (VNI, multicast address, slot) -> a port of this host that is a member; holes are skipped.
 * 262144: four groups for each port of other_ports_v1. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct member_key);
	__type(value, struct flood);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} multicast_ports_v1 SEC(".maps");

/* (VNI, multicast address, tag) -> another host with members. Read for each host of replicas_v2: a chain
 * for each group would be rewritten, and be wrong for a moment, whenever a host joins or leaves it.
 * 262144: each group of multicast_groups_v1 on four hosts. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct member_key);
	__type(value, struct replica);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} multicast_hosts_v1 SEC(".maps");

/* Way -> how packets get to the host that it leads to. Read for what leaves this host; endpoints name the
 * way, which is this host's own number for the other one. Programs note that it is used.
 * 80 bytes each, 1.25 MiB in all. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct tunnel);
	__uint(max_entries, WAYS);
} tunnels_v2 SEC(".maps");

/* Tag of a host -> the way there. Read for what is flooded or relayed: chains and headers say tags.
 * 16384: as tunnels_v2. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct way);
	__uint(max_entries, WAYS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} ways_v1 SEC(".maps");

/* Address on the underlay -> the host that has it. Read for all VXLAN that arrives.
 * 65536: four for every host of tunnels_v2. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct address);
	__type(value, struct peer);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} peers_v1 SEC(".maps");

/* 0 -> addresses of this host, so that what arrives needs a look-up in peers_v1 for its source alone.
 * In a map, not among the constants, so that an address that comes loads no program anew. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct own_addresses);
	__uint(max_entries, 1);
} own_addresses_v1 SEC(".maps");

/* (host, slot) -> its last answer to a probe. Written by from_wire and from_overlay, read by weftd.
 * The least recently used goes when it is full.
 * 16384: as tunnels_v2; weftd probes few at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct probe_key);
	__type(value, struct probe);
	__uint(max_entries, 16384);
} probes_v1 SEC(".maps");

/* ifindex -> ICMP errors that may still be sent for what comes by it. Written and read by programs.
 * The least recently used goes when it is full, and may send as many as at the start again.
 * 4096: devices that send what is too big at one time. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, __u32);
	__type(value, struct answer_limit);
	__uint(max_entries, 4096);
} answers_v1 SEC(".maps");

/* ifindex -> reports of groups that weftd may still be given from it. Written and read by from_port.
 * The least recently used goes when it is full, and may send as many as at the start again.
 * 4096: ports that report at one time. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, __u32);
	__type(value, struct answer_limit);
	__uint(max_entries, 4096);
} reports_v1 SEC(".maps");

/* ifindex -> how many more DNS queries of this port weftd may be given now. Written by from_port, by
 * nobody else; the least recently used goes when it is full. 16384: ports that ask at one time. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, __u32);
	__type(value, struct answer_limit);
	__uint(max_entries, 16384);
} queries_v1 SEC(".maps");

/* (ifindex, prefix) -> sources that a port may use beside its first address of each family.
 * Read only when the source is not one of these two.
 * 131072: two for every port. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct allowed_key);
	__type(value, struct allowed);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} allowed_v1 SEC(".maps");

/* (VNI, prefix) -> a subnet of the network. Read for what is routed to no known address.
 * 65536: four for every network. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct subnet_key);
	__type(value, struct subnet);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} subnets_v1 SEC(".maps");

/* Prefix -> the network to which the host sends what goes there (networks may overlap, the host's
 * routing table cannot). Read for packets to and from the host.
 * 65536: as subnets_v1. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct host_prefix_key);
	__type(value, struct host_prefix);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} host_prefixes_v1 SEC(".maps");

/* Address -> (nothing): a resolver of the host, queries to which are weftd's. Read for port 53.
 * 256: resolv.conf names three. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct address);
	__type(value, struct resolver);
	__uint(max_entries, 256);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} resolvers_v1 SEC(".maps");

/* (port, protocol, source port) -> what a query looked like before it was rewritten. Written by
 * from_port, read by from_host, by weftd never. The least recently used goes when it is full.
 * 16384: queries on their way, of which each lives for seconds. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct dns_flow_key);
	__type(value, struct dns_flow);
	__uint(max_entries, 16384);
} dns_flows_v1 SEC(".maps");

/* Berth -> what the workload behind the device sent and received; for weft1 the host is the workload.
 * Read and written by programs for every packet, read by weftd, which zeroes it once the device is gone.
 * 32 bytes for each berth and CPU: 1 MiB on a machine of 2 CPUs, 32 MiB on one of 64. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct counters);
	__uint(max_entries, BERTHS);
} counters_v2 SEC(".maps");

/* ifindex -> the same of devices without a berth. Made by weftd with the port, for what has no entry is
 * not counted, and deleted with it.
 * 65536: as other_ports_v1. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, __u32);
	__type(value, struct counters);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} other_counters_v1 SEC(".maps");

/* (ifindex, reason) -> packets that came by the device and were dropped. Made and written by programs,
 * apart from the counters, for most ports never drop anything, and 24 numbers for each berth would cost
 * 192 MiB on 64 CPUs. Read by weftd, which deletes them once the device is gone. What does not fit is not counted.
 * 131072: eight reasons for each berth. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, struct drop_key);
	__type(value, struct drop_count);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} drops_v1 SEC(".maps");

/* What programs tell weftd as it happens, the oldest first. Written by programs, read by weftd; what finds
 * no room is lost, and counted.
 * 256 KiB: some thousand events, which weftd reads in milliseconds. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144);
} events_v1 SEC(".maps");

/* 0 -> events that found no room. Written by programs, read by weftd. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct lost_events);
	__uint(max_entries, 1);
} lost_events_v1 SEC(".maps");

/* 0 -> the packet that a program is deciding on; 1: the same of a packet that is no real one, see
 * TRACE_TRIAL. Written and read by programs alone, and worth nothing between two packets. So what is
 * asked of a packet needs no stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct inquiry);
	__uint(max_entries, 2);
} inquiries_v1 SEC(".maps");

/* Facts of this host, set by the loader. Not a map to C: the verifier sees constants. */
const volatile struct constants weft SEC(".rodata.weft");

#endif
