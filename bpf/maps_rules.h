/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Maps of rules: weftd writes them, and programs read them for the first packet of a flow. See maps.h. */
#ifndef WEFT_MAPS_RULES_H
#define WEFT_MAPS_RULES_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* Row -> the rules of a judged port: which subjects it belongs to, and what holds where they say nothing.
 * Written by weftd, read for the first packet of a flow.
 * 64 bytes each, 1 MiB in all: one for each berth. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct port_rules);
	__uint(max_entries, RULES_PORTS);
} port_rules_v1 SEC(".maps");

/* Slot -> a number that grows with each change of what decisions are made from. Written by weftd, after
 * all else; read for every packet of a judged port.
 * 65536: 4096 for addresses, the rest for networks and ports. 512 KiB. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct generation);
	__uint(max_entries, GENERATIONS);
	__uint(map_flags, BPF_F_MMAPABLE);
} generations_v1 SEC(".maps");

/* Subject -> its edition: one store replaces all its rules. Written by weftd, read for the first packet
 * of a flow. 128 KiB. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct current);
	__uint(max_entries, SUBJECTS);
} current_v1 SEC(".maps");

/* Edition and direction -> which atoms the subject's rules name. Written by weftd before the edition is
 * current, read for the first packet of a flow.
 * 64 bytes each, 2 MiB: two editions for each of 8192 subjects, or one and few that change. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct subject);
	__uint(max_entries, 2 * EDITIONS);
} subjects_v1 SEC(".maps");

/* (edition, direction, atom) -> spans of the rules about that atom. Written by weftd, read for the first
 * packet of a flow.
 * 131072: ten times 10 000 rules that each name another atom, and room for the next edition. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct head_key);
	__type(value, struct head);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} heads_v1 SEC(".maps");

/* Index -> from where to where a rule is the best one. Regions of it belong to heads and never change;
 * another profile is another region. Written by weftd, read for the first packet of a flow.
 * 32 bytes each, 8 MiB. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct span);
	__uint(max_entries, SPANS);
	__uint(map_flags, BPF_F_MMAPABLE);
} spans_v1 SEC(".maps");

/* Identity -> its set of atoms. Written by weftd, read for the first packet of a flow. 512 KiB. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct identity);
	__uint(max_entries, IDENTITIES);
} identities_v1 SEC(".maps");

/* Row -> atoms, 15 and where there are more. Rows never change while an identity names them. Written by
 * weftd, read for the first packet of a flow.
 * 64 bytes each, 4 MiB: one for each identity. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct atom_set);
	__uint(max_entries, ATOM_SETS);
	__uint(map_flags, BPF_F_MMAPABLE);
} atom_sets_v1 SEC(".maps");

/* (tenant, prefix) -> identity. Written by weftd, read for the first packet of a flow where rules name
 * prefixes. 65536: what a tenant's rules name, and their exceptions. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct prefix_key);
	__type(value, struct prefix);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} prefixes_v1 SEC(".maps");

/* (VNI, prefix) -> identity. Written by weftd, read for the first packet of a flow whose other end is no
 * port's own address. 65536: subnets that rules name, and prefixes that ports may use. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct unowned_key);
	__type(value, struct prefix);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} unowned_v1 SEC(".maps");

/* Number -> the rule. Written by weftd; read when a flow is decided on, and by weftd, to say which rule
 * it was. 32 bytes each, 2 MiB. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct rule);
	__uint(max_entries, RULES_NUMBERS);
} rules_v1 SEC(".maps");

/* Digest -> number, of groups, peers, tenants, ports and networks of which rules speak. Written by weftd
 * and read by it alone, when it starts, so that everything has the number again that it has in the other
 * maps.
 * 131072: all rules, and as many others. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct symbol_key);
	__type(value, struct symbol);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} symbols_v1 SEC(".maps");

/* Number -> flows that the rule let begin, and packets that it dropped; 0: those of no rule. Written by
 * programs, read by weftd, which zeroes it before the number is another rule's.
 * 16 bytes for each number and CPU: 2 MiB on a machine of 2 CPUs, 64 MiB on one of 64. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct rule_count);
	__uint(max_entries, RULES_NUMBERS);
} rule_counts_v1 SEC(".maps");

#endif
