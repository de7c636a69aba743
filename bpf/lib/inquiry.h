/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What stages ask about one packet of a judged port, and what they have found out. It lies in a map, so
 * that it takes no stack and goes from stage to stage without arguments. */
#ifndef WEFT_INQUIRY_H
#define WEFT_INQUIRY_H

#include <stdbool.h>

#include "../abi.h"

#define UNJUDGED 0xffffffffu

struct tuple { /* what a key is made of, but for the place */
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
};

struct inquiry {
	/* The packet, as its program has parsed it. */
	struct address source;
	struct address destination;
	struct mac source_mac;
	struct mac destination_mac;
	__u32 ifindex; /* of the device it came by */
	__u32 vni;
	__u32 size;
	__u32 l4;
	__u32 end;
	__u8 kind; /* enum flow_kind */
	__u8 protocol;
	bool is_ip;
	bool is_ipv4;
	bool is_fragment;
	bool is_later_fragment;
	__u8 behind_fragment;
	bool is_trial;

	/* Behind the IP header; see dissect.h. */
	__u8 tcp_flags;
	bool is_exempt; /* passes by no rule */
	bool is_error;	/* ICMP about another packet */
	bool is_alone;	/* nothing answers it */
	bool is_multicast;
	__be16 source_port;
	__be16 destination_port;
	__be16 answer_source_port; /* what has come back, or would */
	__be16 answer_destination_port;
	__u16 refusal; /* of copies: enum drop_reason, why no judged port gets one */

	/* Of an ICMP error: the packet that it quotes, and what would answer that. */
	__u32 quoted[10];
	__be16 quoted_l4[4];
	struct tuple answer;

	/* What is said to who has sent what the rules reject; see reject.h. */
	__u64 told[10];
	__u32 told_quote[32];

	/* Keys of the packet's flow and of the other direction's; of the packet's family alone. */
	struct flow_key4 key4;
	struct flow_key4 partner4;
	struct flow_key6 key6;
	struct flow_key6 partner6;

	/* What is asked of the rules, and their answer; see judge.h. */
	__u32 row; /* of port_rules_v1 */
	__u32 direction;
	__u32 point;
	__be16 first_source_port; /* of the packet that begins the flow */
	struct address_key remote;
	struct member_key member;
	struct mac_key mac; /* of a link-local remote address */
	bool is_gateway;    /* that MAC is */
	struct prefix_key prefix;
	struct unowned_key unowned;
	struct head_key head;
	bool may_be_host; /* the remote end is where this host itself is, too */
	bool may_be_dns;  /* it goes to the gateway, and no port gets it */
	bool has_prefix_set;
	__u32 identity_set; /* rows of atom_sets_v1 */
	__u32 prefix_set;
	__u32 subject;
	__u32 subject_row; /* of subjects_v1 */
	__u32 set;	   /* row of atom_sets_v1 whose turn it is */
	__u32 action;	   /* enum rule_action */
	__u32 rule;
	__u64 best[TIERS];

	/* The two ends, and how the flow is to go on; see flow.h. */
	__u32 sender_row; /* of port_rules_v1, or UNJUDGED */
	__u32 receiver_row;
	__u32 receiver_ifindex; /* 0: not a port here */
	__u32 receiver_tunnel;
	__u32 receiver_way;
	__u32 receiver_flags; /* enum endpoint_flag */
	bool is_for_gateway;  /* by its MAC */
	__u32 source_vni;     /* the network that each end is on */
	__u32 destination_vni;
	__u32 way_mtu; /* of a router's way to the receiver; 0: any */
	__u32 hops;    /* to the receiver, if the packet is routed by this host; else 0 */
	struct mac receiver_mac;
	__u16 next_hop_slot; /* of generations_v1: of the address that a router's way ends at */
	bool begins;	     /* there is no flow, or it is over */
	bool is_answer;	     /* of who did not begin the flow */
	bool is_reopened;    /* it had ended, and begins again */
	bool is_strict;
	__u32 rules[2];	  /* by direction */
	struct flow flow; /* to be written */
};

#endif
