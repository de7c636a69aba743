/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What programs tell weftd as it happens. They never wait for it: what weftd does not read in time is lost,
 * and it can see how much. */
#ifndef WEFT_EVENT_H
#define WEFT_EVENT_H

#include "../maps.h"

static __always_inline void tell(const void *event, __u32 size)
{
	struct lost_events *lost;
	__u32 all = 0;

	if (!bpf_ringbuf_output(&events_v1, (void *)event, size, 0))
		return;
	lost = bpf_map_lookup_elem(&lost_events_v1, &all);
	if (lost)
		lost->events += 1;
}

#endif
