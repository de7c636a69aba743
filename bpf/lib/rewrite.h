/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Another outer header in the place of the one that is there. */
#ifndef WEFT_REWRITE_H
#define WEFT_REWRITE_H

#include "outer.h"

static __always_inline int write_outer4(struct __sk_buff *skb, const struct tunnel *tunnel,
					const struct overlay_header *header)
{
	struct outer4 outer;

	fill_outer4(&outer, tunnel, header, skb->len - ETH_HLEN);
	return bpf_skb_store_bytes(skb, 0, &outer.ethernet, OUTER4_SIZE, 0);
}

static __always_inline int write_outer6(struct __sk_buff *skb, const struct tunnel *tunnel,
					const struct overlay_header *header)
{
	struct outer6 outer;

	fill_outer6(&outer, tunnel, header, skb->len - ETH_HLEN);
	return bpf_skb_store_bytes(skb, 0, &outer.ethernet, OUTER6_SIZE, 0);
}

static __noinline int write_outer(struct __sk_buff *skb, const struct tunnel *tunnel,
				  const struct overlay_header *header)
{
	if (is_outer_ipv6(tunnel))
		return write_outer6(skb, tunnel, header);
	return write_outer4(skb, tunnel, header);
}

#endif
