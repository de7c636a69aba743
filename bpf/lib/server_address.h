/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Where weftd's DNS server listens, on weft0. */
#ifndef WEFT_SERVER_ADDRESS_H
#define WEFT_SERVER_ADDRESS_H

#include "packet.h"

#define DNS_PORT bpf_htons(53)

static __always_inline struct address server_address(bool is_ipv4)
{
	if (is_ipv4)
		return from_ipv4(bpf_htonl(WEFT_DNS4));
	return (struct address){ {
		bpf_htonl(WEFT_PREFIX6_HIGH),
		bpf_htonl(WEFT_PREFIX6_LOW),
		0,
		bpf_htonl(WEFT_DNS6_LAST),
	} };
}

/* The same of either family. */
static __always_inline bool is_server_address(const struct address *address)
{
	if (is_mapped(address))
		return address->words_be[3] == bpf_htonl(WEFT_DNS4);
	return address->words_be[0] == bpf_htonl(WEFT_PREFIX6_HIGH) &&
	       address->words_be[1] == bpf_htonl(WEFT_PREFIX6_LOW) && !address->words_be[2] &&
	       address->words_be[3] == bpf_htonl(WEFT_DNS6_LAST);
}

#endif
