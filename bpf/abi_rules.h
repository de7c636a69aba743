/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Rules of judged ports (judge.h): who may talk to whom. A rule belongs to one subject, a group that has
 * a port here, and speaks about one peer, an atom: a group, a prefix, or anybody (0). Rules of one
 * subject, direction and atom differ in where on a line they hold, whose points are packets:
 * family << 24 | protocol << 16 | destination port, or ICMP's type << 8 | code. */
#ifndef WEFT_ABI_RULES_H
#define WEFT_ABI_RULES_H

#include <linux/types.h>

#include "abi.h"

enum rule_action { /* the stricter first: among equals the least wins */
		   RULE_DROP = 0,
		   RULE_REJECT,
		   RULE_ALLOW,
		   RULE_PASS, /* the next tier decides */
};

enum tier {
	TIER_ADMIN = 0,
	TIER_NORMAL,
	TIER_BASELINE,
	TIERS, /* how many */
};

enum direction {
	INGRESS = 0, /* towards the port; the peer is the source */
	EGRESS,
};

/* port_rules_v1: row -> what holds for a judged port; row 0 is nobody's. */
enum rules_flag {
	RULES_ALLOW_INGRESS = 1 << 0, /* what no rule decides passes; else it does not */
	RULES_ALLOW_EGRESS = 1 << 1,
	RULES_STRICT =
		1 << 2, /* TCP that neither begins a connection nor belongs to one is dropped */
	RULES_ADMIT_HOST = 1 << 3, /* what this host sends from its own place passes, by no rule */
	RULES_ALLOW_DNS = 1 << 4,  /* the port's queries to Weft's DNS pass, by no rule */
};

enum rules {
	RULES_PORTS = 16384, /* judged ports of this host; as BERTHS */
	RULES_SUBJECTS = 8,  /* of one port; weftd merges what is more */
	RULES_NUMBERS = 65536,
	SUBJECTS = 16384, /* with a port here */
	EDITIONS = 16384, /* twice as many are rows of subjects_v1 */
	SPANS = 262144, /* twice what 10 000 rules with a port each need, and as much for copies */
	HEAD_SPANS = 131072, /* of one head */
	IDENTITIES = 65536,
	ATOM_SETS = 65536,
	ATOM_SET_ATOMS = 15,
	ATOM_SET_CHAIN = 32, /* rows of one identity */
	FILTER_BITS = 256,
	REMOTE_SLOTS =
		4096, /* of generations_v1: the first ones are of addresses, by their hash, */
	GENERATIONS =
		65536, /* the others of networks and ports, as weftd says; 0 is an address's, too */
};

struct port_rules {
	__u32 flags; /* enum rules_flag */
	__u32 subject_count;
	__u32 tenant;	    /* whose prefixes of prefixes_v1 hold */
	__u16 network_slot; /* of generations_v1: raised when a port of the network comes, goes, moves or begins or ceases to be judged */
	__u16 port_slot; /* likewise: when this row, or what its subjects' rules say, has changed */
	__u8 spare[16];
	__u32 subjects[RULES_SUBJECTS];
};

/* generations_v1: slot -> a number that weftd raises after it has written. What was decided from what
 * was there before is decided anew. */
struct generation {
	__u32 number;
	__u8 spare[4];
};

/* current_v1: subject -> its edition. All rules of a subject change by this one number. */
struct current {
	__u32 edition;
	__u8 spare[4];
};

/* subjects_v1: edition << 1 | direction -> */
enum subject_flag {
	SUBJECT_NAMES_PREFIXES = 1 << 0, /* atoms that are prefixes occur in its rules */
};

struct subject {
	__u32 flags;	  /* enum subject_flag */
	__u32 any_offset; /* the head of rules about anybody; see struct head */
	__u32 any_count;
	__u8 spare[20];
	__u32 filter[FILTER_BITS /
		     32]; /* the bit (atom mod FILTER_BITS) of each atom that has a head */
};

/* heads_v1: (edition, direction and atom) -> where the spans are */
enum head_atom {
	HEAD_EGRESS = 0x80000000u, /* in the same number as the atom */
};

struct head_key {
	__u32 edition;
	__u32 atom; /* | HEAD_EGRESS */
};

struct head {
	__u32 offset; /* in spans_v1 */
	__u32 span_count;
};

/* spans_v1: from `start` to the next span's, the best rule of each tier: its rank in the upper half, the
 * least wins, then its action (4 bits) and number (28). All ones: none. The first start is 0. */
struct span {
	__u32 start;
	__u8 spare[4];
	__u64 best[TIERS];
};

enum best {
	BEST_ACTION_SHIFT = 28,
	BEST_NUMBER_MASK = 0x0fffffff,
};

/* identities_v1: identity, a number of this host, -> the row of its atoms. 0: in no group. */
struct identity {
	__u32 set;
	__u8 spare[4];
};

/* atom_sets_v1: row -> atoms; 0 is the empty set */
struct atom_set {
	__u16 atom_count;
	__u16 next; /* row that goes on; 0: none */
	__u32 atoms[ATOM_SET_ATOMS];
};

/* prefixes_v1 (LPM): (tenant, prefix) -> the identity of all addresses in it that no longer prefix has */
struct prefix_key {
	__u32 prefixlen; /* 32 + bits of the 128-bit form */
	__u32 tenant;
	struct address address;
};

struct prefix {
	__u32 identity;
	__u8 spare[4];
};

/* unowned_v1 (LPM): (VNI, prefix) -> likewise of the addresses in it that no port has for its own */
struct unowned_key {
	__u32 prefixlen; /* 32 + bits of the 128-bit form */
	__u32 vni;
	struct address address;
};

/* rules_v1: number -> the rule, as records know it; 0 is "no rule" */
enum rule_flag {
	RULE_LOGS = 1 << 0,
	RULE_KEEPS = 1 << 1,   /* established flows that it has let begin go on when it goes */
	RULE_GONE = 1 << 2,    /* no record says it any more; flows may still name it */
	RULE_FORGETS = 1 << 3, /* of what it lets pass nothing is remembered */
};

struct rule {
	__u8 id[16];
	__u32 flags; /* enum rule_flag */
	__u8 spare[12];
};

/* symbols_v1: digest of what rules speak about -> its number on this host. The key of all zero is there
 * while weftd writes rows of which it has not yet told by generations. */
struct symbol_key {
	__u8 digest[16];
};

struct symbol {
	__u32 number;
	__u32 kind; /* weftd's own */
};

/* rule_counts_v1 (per CPU): number -> */
struct rule_count {
	__u64 flows; /* that it let begin */
	__u64 drops; /* packets */
};

#endif
