/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Routers (router.h): what they look up between networks. A table of a router has a number of 64 bits,
 * which follows from the router's id. */
#ifndef WEFT_ABI_ROUTES_H
#define WEFT_ABI_ROUTES_H

#include <linux/types.h>

#include "abi.h"

/* Of what names a table. */
enum table_flag {
	TABLE_OF_SOURCES = 1 << 0, /* it says which table holds, by the packet's source */
	SUBNET_CUT_OFF = 1 << 1,   /* nothing is routed into or out of it, but by a router */
};

/* routers_v1: (VNI, MAC of a router) -> its table. With the gateways' MAC: the table for senders that
 * are in no subnet. */
struct router {
	__u32 table4_high; /* both halves 0: there is none */
	__u32 table4_low;
	__u32 table6_high;
	__u32 table6_low;
	__u32 flags4; /* enum table_flag */
	__u32 flags6;
	__u8 spare[8];
};

/* routes_v1 (LPM): (table, prefix) -> what becomes of what is for the prefix */
struct route_key {
	__u32 prefixlen; /* 64 + bits of the 128-bit form */
	__u32 table_high;
	__u32 table_low;
	struct address address;
};

enum route_kind {
	ROUTE_NONE = 0,
	ROUTE_CONNECTED,   /* the destination is on the network itself */
	ROUTE_VIA,	   /* to one of the next hops */
	ROUTE_DROPPED,	   /* as somebody wants it */
	ROUTE_UNREACHABLE, /* no next hop is there */
	ROUTE_SOURCE,	   /* in a table of sources: another table holds */
	ROUTE_EXPIRED,	   /* of a whole way alone: the hop limit has run out, */
	ROUTE_LOOP,	   /* and: through too many routers */
};

enum routers {
	ROUTERS_MAX = 8, /* that a packet passes; as semantics/routing.py has it */
	ROUTE_HOPS = 8,	 /* next hops of a route */
	ROUTE_HOP_WORDS = 8,
};

enum next_hop_flag {
	NEXT_HOP_ROUTER = 1 << 0,  /* another router, which decides anew */
	NEXT_HOP_SOURCES = 1 << 1, /* its table is one of sources */
};

struct next_hop {
	struct address address;
	__u32 vni;
	__u32 flags; /* enum next_hop_flag */
	__u32 table_high;
	__u32 table_low;
};

struct route {
	__u32 kind;	  /* enum route_kind */
	__u32 vni;	  /* of ROUTE_CONNECTED */
	__u32 table_high; /* of ROUTE_SOURCE */
	__u32 table_low;
	__u32 hop_count;
	__u32 family; /* 4 or 6: ::/0 is no route for IPv4, though it holds it in the form of IPv6 */
	__u32 mtu;    /* of the networks where it leads; 0: any */
	__u8 spare[4];
	__u32 hops[ROUTE_HOPS * ROUTE_HOP_WORDS]; /* struct next_hop each */
};

#endif
