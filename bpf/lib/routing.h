/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is asked about the way of one packet between networks, and the answer; see router.h. It lies in a
 * map, so that it takes no stack. */
#ifndef WEFT_ROUTING_H
#define WEFT_ROUTING_H

#include <stdbool.h>

#include "../abi.h"

struct routing {
	/* Who asks. */
	struct address source;
	struct address destination;
	__u32 family; /* 4 or 6 */
	__u32 flow;   /* a hash of what all packets of a flow have in common */
	__u32 table_high;
	__u32 table_low;
	__u32 flags;	 /* enum table_flag */
	__u32 hop_limit; /* of the packet, as it gets to the last router so far */

	/* Where it ends. */
	__u32 routers; /* passed */
	struct address
		at; /* the last one's, on the network that leads there; zero of the first one */
	__u32 mtu;  /* of the network where it is delivered; 0: any */
	__u32 vni;  /* of the network where it is delivered, */
	struct address next; /* to whoever has this address there */
	__u32 edition;	     /* of the maps that are read; see route_near.h */
	bool is_spread;	     /* the flow has chosen one of several next hops */

	/* Of the packet; see forget_kind. */
	__u32 l4;
	__u32 packet_end;
	__be16 ports[2];
	__u8 protocol;
	__u8 icmp_type;
	__u8 behind_fragment;
	bool is_fragment;
	bool is_later_fragment;

	struct route_key key;
	struct mac_key mac;
	struct subnet_key subnet;
};

#endif
