/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Flows of judged ports (flow.h): what is remembered of each connection. */
#ifndef WEFT_ABI_FLOWS_H
#define WEFT_ABI_FLOWS_H

#include <linux/types.h>

#include "abi.h"

/* flows4_v1, flows6_v1: one direction of a connection, as a packet shows it, -> what becomes of it
 * (flow.h). Two entries are one connection. */
enum flow_kind {		  /* where packets come from */
		 FLOW_LEAVES = 1, /* a port here; place: its device */
		 FLOW_ARRIVES,	  /* another host; place: VNI */
		 FLOW_ENTERS,	  /* the host; place: VNI */
};

struct flow_key4 {
	__u32 source_be;
	__u32 destination_be;
	__u16 source_port_be;	   /* of an ICMP query or answer: its identifier; else of ICMP: 0 */
	__u16 destination_port_be; /* of ICMP: type and code */
	__u32 place;
	__u8 protocol;
	__u8 kind; /* enum flow_kind */
	__u8 spare[2];
};

struct flow_key6 {
	struct address source;
	struct address destination;
	__u16 source_port_be;
	__u16 destination_port_be;
	__u32 place;
	__u8 protocol;
	__u8 kind;
	__u8 spare[2];
};

enum flow_flag {
	FLOW_DENIED = 1 << 0,	/* dropped; lives for a second */
	FLOW_ANSWERS = 1 << 1,	/* the direction of who did not begin it */
	FLOW_ALONE = 1 << 2,	/* nothing answers it: it has no partner */
	FLOW_FIN = 1 << 3,	/* this direction has ended */
	FLOW_PEER_FIN = 1 << 4, /* the other one has */
	FLOW_SHORT = 1 << 6,	/* its packets need no more than `target`; see hit.h */
	FLOW_TUNNELLED =
		1 << 7, /* `target` is the tag of a host, reached by `way`; else a device */
	FLOW_AT_INGRESS =
		1 << 5, /* with FLOW_DENIED: by the rule of that direction, else by egress */
	FLOW_FOLLOWED = 1 << 8, /* where its packets go has been looked for, and is in `target` */
};

enum flow_state {
	FLOW_NEW = 1, /* nothing has come back yet */
	FLOW_ESTABLISHED,
	FLOW_CLOSING, /* one direction has ended */
	FLOW_CLOSED,  /* both have, or it was reset */
};

/* The first 64 bytes are what every packet needs. Programs write it in place: generation 0 while they
 * do, and whoever finds that decides anew. With 8 bytes more an entry of IPv4 would take a third more
 * memory: with its key and what the kernel adds it has the 192 bytes of an allocator's size. */
struct flow {
	__u32 generation; /* see generation_of in flow_state.h */
	__u32 seen;	  /* jiffies of the last packet */
	__u64 packets;
	__u64 octets;
	__u16 flags;  /* enum flow_flag */
	__u8 state;   /* enum flow_state */
	__u8 hops;    /* that its packets lose, if they are routed; 0: they go as they are */
	__u32 target; /* where its packets go; 0: that is looked up */
	struct mac source_mac;		/* that its packets have; all zero: none seen yet */
	struct mac destination_mac;	/* likewise */
	struct mac new_source_mac;	/* for later */
	struct mac new_destination_mac; /* with `hops`: the receiver's, */
	__u32 vni;			/* and the network that it is on */
	__u16 way;
	__u16 mtu;	    /* with `hops`: of the networks where they lead; 0: any */
	__u16 network_slot; /* what it was decided from, of generations_v1; 0 of REMOTE_SLOTS: nothing */
	__u16 source_rules_slot;
	__u16 destination_rules_slot;
	__u16 source_slot;
	__u16 destination_slot;
	__u16 outer_port_be; /* for later */
	__u32 partner_place; /* of the other direction's key */
	__u8 partner_kind;
	__u8 spare1;
	__u16 next_hop_slot; /* as network_slot: of who gets its packets, if they are routed */
	__u32 egress_rule;   /* numbers in rules_v1, of who let it begin or denies it; 0: none */
	__u32 ingress_rule;
	__u32 created;		  /* jiffies */
	__u16 new_source_port_be; /* for later: what is translated, */
	__u16 new_destination_port_be;
	__u16 limiter; /* and limited */
	__u16 owner;   /* of flow_holds_v1: the port that it counts for */
} __attribute__((aligned(8)));

/* flow_holds_v1: berth + 1 of a port, or 0 for all devices without a berth -> the entries of flows that
 * count for it: of those that it begins, or that others begin with it from elsewhere */
struct flow_hold {
	__u32 entries;
	__u32 refused; /* entries that there was no room for, since it had as many as a port may */
};

/* What weftd has the program `collect` do: behind an Ethernet header follow these two bytes, and then
 * keys of flows of one family, in whose first spare byte it says what came of it. */
enum collect_flag {
	COLLECT_END = 1 << 0,	  /* generation 0, so that no packet uses it any more */
	COLLECT_REMOVE = 1 << 1,  /* what has been ended before */
	COLLECT_IPV6 = 1 << 2,	  /* of the keys */
	COLLECT_CROWDED = 1 << 3, /* what nobody has answered lives for CROWDED_S */
};

enum collect {
	COLLECT_AT = 16, /* where keys begin */
	COLLECT_KEYS = 64,
	CROWDED_S = 5,
};

enum collected {
	COLLECTED_LIVES = 1, /* the flow is not over: one of its directions has been used */
	COLLECTED_ENDED,
	COLLECTED_REMOVED,
	COLLECTED_GONE, /* it was not there */
};

/* fragments_v1 (LRU): a packet in pieces -> the ports in its first piece */
struct fragment_key {
	struct address source;
	struct address destination;
	__u32 identity_be;
	__u32 place;
	__u8 protocol;
	__u8 kind; /* enum flow_kind */
	__u8 spare[2];
};

struct fragment {
	__u16 source_port_be;
	__u16 destination_port_be;
	__u8 spare[4];
};

/* flow_counts_v1 (per CPU): 0 -> */
struct flow_counts {
	__u64 made;    /* entries */
	__u64 refused; /* connections that found no room for their entries */
};

#endif
