/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Where a MAC is, nearer at hand than in the hash: each CPU keeps what it has looked up. Weftd raises the
 * edition before and after it changes macs_v1. While that is odd, and once it is another one than when an
 * entry was made, the hash is asked. So a weftd that ends amidst a change leaves nothing that is stale. */
#ifndef WEFT_NEAR_H
#define WEFT_NEAR_H

#include "../maps.h"
#include "packet.h"

/* A made packet has an entry of its own, for real ones may come between on its CPU. */
static __always_inline struct near_mac *near_to(struct __sk_buff *skb, const struct mac_key *key)
{
	__u32 at = (bpf_ntohs(key->mac.words_be[2]) ^ key->vni) & (NEAR_MACS - 1);

	if (skb->cb[TRACE_TRIAL] == TRIAL)
		at = NEAR_MACS;
	return bpf_map_lookup_elem(&near_macs_v1, &at);
}

static __always_inline bool is_of_mac(const struct near_mac *near, const struct mac_key *key)
{
	return near->key.vni == key->vni && is_same_mac(&near->key.mac, &key->mac);
}

/* NULL: nowhere. */
static __always_inline const struct endpoint *endpoint_of_mac(struct __sk_buff *skb,
							      const struct mac_key *key)
{
	struct near_mac *near = near_to(skb, key);
	const struct endpoint *endpoint;
	const struct edition *edition;
	__u32 first = 0, number;

	edition = bpf_map_lookup_elem(&macs_edition_v1, &first);
	if (!near || !edition)
		return NULL;
	number = edition->number;
	if (near->edition == number && is_of_mac(near, key))
		return &near->endpoint;
	endpoint = bpf_map_lookup_elem(&macs_v1, key);
	if (!endpoint)
		return NULL;
	near->key = *key;
	near->endpoint = *endpoint;
	near->edition = number & ~1U; /* while it is odd: the one that is over */
	return &near->endpoint;
}

#endif
