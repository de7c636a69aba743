/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Addresses that are never routed: this host's, multicast, Weft's own. Alias and DNS server are
 * reached by way of dns.h alone. */
#ifndef WEFT_UNROUTABLE_H
#define WEFT_UNROUTABLE_H

#include "packet.h"

static __always_inline bool is_unroutable(const struct address *address)
{
	__u32 last = bpf_ntohl(address->words_be[3]);
	__u32 first = bpf_ntohl(address->words_be[0]);

	if (is_mapped(address))
		return last >> 24 == 0 || last >> 24 == 127 || last >= 0xe0000000 ||
		       last == WEFT_DNS4;
	return is_link_local(address) || first >> 24 == 0xff ||
	       (first == WEFT_PREFIX6_HIGH &&
		(bpf_ntohl(address->words_be[1]) & 0xffff0000) == WEFT_PREFIX6_LOW) ||
	       (!address->words_be[0] && !address->words_be[1] && !address->words_be[2] &&
		last <= 1);
}

#endif
