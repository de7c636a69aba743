/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The port behind a device of this host. */
#ifndef WEFT_PORT_H
#define WEFT_PORT_H

#include "../maps.h"
#include "packet.h"

/* NULL: there is none. */
static __always_inline const struct port *port_of(__u32 ifindex)
{
	__u32 berth = berth_of(ifindex);
	const struct port *port;

	if (berth >= BERTHS)
		return bpf_map_lookup_elem(&other_ports_v1, &ifindex);
	port = bpf_map_lookup_elem(&ports_v2, &berth);
	return port && port->vni ? port : NULL;
}

#endif
