/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a CPU keeps of a way that it has followed; see route_near.h. */
#ifndef WEFT_NEAR_ROUTE_H
#define WEFT_NEAR_ROUTE_H

#include "../abi.h"

#define NEAR_ROUTE_BITS 9
#define NEAR_ROUTES	(1 << NEAR_ROUTE_BITS)

struct near_route {
	/* What the way depends on. */
	struct address source;
	struct address destination;
	__u32 vni;
	struct mac mac; /* of the router that it was sent to */
	/* Where it ends. */
	__u8 hops;
	__u8 spare;
	__u32 edition; /* of the maps that it was read from */
	__u32 mtu;     /* of the network there; 0: any */
	__u32 vni_there;
	struct endpoint endpoint;
};

#endif
