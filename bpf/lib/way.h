/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The tunnel to another host. Entries change in place: what was read of one belongs to the host whose tag
 * is in it, and to no other. */
#ifndef WEFT_WAY_H
#define WEFT_WAY_H

#include "../maps.h"
#include "packet.h"

/* NULL: no way is known. `tag` is not zero. */
static __always_inline const struct tunnel *tunnel_on(__u32 way, __u32 tag)
{
	const struct tunnel *tunnel = bpf_map_lookup_elem(&tunnels_v2, &way);

	return tunnel && tunnel->tag == tag ? tunnel : NULL;
}

static __always_inline const struct tunnel *tunnel_to(__u32 tag)
{
	const struct way *way = bpf_map_lookup_elem(&ways_v1, &tag);

	return way ? tunnel_on(way->way, tag) : NULL;
}

#endif
