/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Under what a direction of a flow is remembered: what its packets show, and where they come from. */
#ifndef WEFT_FLOW_KEY_H
#define WEFT_FLOW_KEY_H

#include "dissect.h"
#include "packet.h"

static __always_inline void write_key4(struct flow_key4 *key, const struct tuple *tuple,
				       __u32 place, __u8 kind)
{
	key->source_be = tuple->source.words_be[3];
	key->destination_be = tuple->destination.words_be[3];
	key->source_port_be = tuple->source_port;
	key->destination_port_be = tuple->destination_port;
	key->place = place;
	key->protocol = tuple->protocol;
	key->kind = kind;
}

static __always_inline void write_key6(struct flow_key6 *key, const struct tuple *tuple,
				       __u32 place, __u8 kind)
{
	key->source = tuple->source;
	key->destination = tuple->destination;
	key->source_port_be = tuple->source_port;
	key->destination_port_be = tuple->destination_port;
	key->place = place;
	key->protocol = tuple->protocol;
	key->kind = kind;
}

/* Of the packet, or of another one that came from where it does. */
static __always_inline void set_key(struct inquiry *inquiry, const struct tuple *tuple)
{
	if (inquiry->is_ipv4)
		write_key4(&inquiry->key4, tuple, place_of(inquiry), inquiry->kind);
	else
		write_key6(&inquiry->key6, tuple, place_of(inquiry), inquiry->kind);
}

static __always_inline void set_own_key(struct inquiry *inquiry)
{
	struct tuple tuple = {
		.source = inquiry->source,
		.destination = inquiry->destination,
		.source_port = inquiry->source_port,
		.destination_port = inquiry->destination_port,
		.protocol = inquiry->protocol,
	};

	set_key(inquiry, &tuple);
}

static __always_inline void set_partner(struct inquiry *inquiry, __u32 place, __u8 kind)
{
	struct tuple tuple = {
		.source = inquiry->destination,
		.destination = inquiry->source,
		.source_port = inquiry->answer_source_port,
		.destination_port = inquiry->answer_destination_port,
		.protocol = inquiry->protocol,
	};

	if (inquiry->is_ipv4)
		write_key4(&inquiry->partner4, &tuple, place, kind);
	else
		write_key6(&inquiry->partner6, &tuple, place, kind);
}

static __always_inline struct flow *flow_of(struct inquiry *inquiry)
{
	if (inquiry->is_ipv4)
		return bpf_map_lookup_elem(&flows4_v1, &inquiry->key4);
	return bpf_map_lookup_elem(&flows6_v1, &inquiry->key6);
}

static __always_inline struct flow *partner_of(struct inquiry *inquiry)
{
	if (inquiry->is_ipv4)
		return bpf_map_lookup_elem(&flows4_v1, &inquiry->partner4);
	return bpf_map_lookup_elem(&flows6_v1, &inquiry->partner6);
}

#endif
