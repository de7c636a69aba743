/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The tunnel to another host. Entries change in place: what was read of one belongs to the host whose tag
 * is in it, and to no other. */
#ifndef WEFT_WAY_H
#define WEFT_WAY_H

#include "../maps.h"
#include "packet.h"

/* NULL: no way is known. `tag` is not zero. */
static __always_inline struct tunnel *tunnel_on(__u32 way, __u32 tag)
{
	struct tunnel *tunnel = bpf_map_lookup_elem(&tunnels_v2, &way);

	return tunnel && tunnel->tag == tag ? tunnel : NULL;
}

static __always_inline struct tunnel *tunnel_to(__u32 tag)
{
	const struct way *way = bpf_map_lookup_elem(&ways_v1, &tag);

	return way ? tunnel_on(way->way, tag) : NULL;
}

/* So that weftd knows between which hosts packets go. Seldom written, for all CPUs read the entry:
 * once in 256 jiffies. Zero is no mark. */
static __always_inline void note_use(struct tunnel *tunnel)
{
	__u32 mark = (__u32)(bpf_jiffies64() >> 8) | 1U << 31;

	if (tunnel->used != mark)
		tunnel->used = mark;
}

#endif
