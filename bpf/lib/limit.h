/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* How often something may be done for one device: a bucket of tokens for each. */
#ifndef WEFT_LIMIT_H
#define WEFT_LIMIT_H

#include "packet.h"

/* `burst` at once, then one every so many ns. `map` is ifindex -> struct answer_limit. */
static __always_inline bool is_within(void *map, __u32 ifindex, __u32 burst, __u64 every_ns)
{
	struct answer_limit fresh = {
		.refilled_ns = bpf_ktime_get_ns(),
		.tokens = burst - 1,
	};
	struct answer_limit *limit = bpf_map_lookup_elem(map, &ifindex);
	__u64 passed;

	if (!limit)
		return !bpf_map_update_elem(map, &ifindex, &fresh, BPF_ANY);
	passed = (fresh.refilled_ns - limit->refilled_ns) / every_ns;
	if (passed > burst) {
		*limit = fresh;
		return true;
	}
	limit->refilled_ns += passed * every_ns;
	limit->tokens += passed;
	if (limit->tokens > burst)
		limit->tokens = burst;
	if (!limit->tokens)
		return false;
	limit->tokens -= 1;
	return true;
}

#endif
