/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Probes of the way between two hosts, on the way itself: a request is sent back at its own size, an
 * answer is kept for weftd, which sent the request. They test port, filters and MTU. */
#ifndef WEFT_PROBE_H
#define WEFT_PROBE_H

#include "answer.h"
#include "deliver.h"
#include "encap.h"
#include "packet.h"
#include "parse_outer.h"

static __always_inline bool is_probe(const struct probe_message *message)
{
	return message->type_be == bpf_htons(OVERLAY_PROBE_TYPE) &&
	       message->magic_be == bpf_htonl(OVERLAY_PROBE_MAGIC);
}

/* Only answers to this host, and in few slots for each peer, so that nobody fills the map. */
static __always_inline int keep_answer(struct packet *packet, const struct probe_message *message,
				       __u32 tag, __u32 size)
{
	struct probe_key key = { .tag = tag, .slot = bpf_ntohl(message->slot_be) };
	struct probe probe = { .arrival_ns = bpf_ktime_get_ns(), .size = size };

	if (bpf_ntohl(message->tag_be) != weft.host_tag || key.slot >= OVERLAY_PROBE_SLOTS)
		return drop(packet, DROP_MALFORMED);
	__builtin_memcpy(&probe.nonce, message->nonce, sizeof(probe.nonce));
	bpf_map_update_elem(&probes_v1, &key, &probe, BPF_ANY);
	return absorb();
}

/* What the kind is in the message, with UDP's checksum if there is one. */
static __always_inline int turn_kind(struct packet *packet, const struct arrival *arrival)
{
	__u32 checksum = arrival->size - sizeof(struct vxlan) - sizeof(struct udphdr) +
			 offsetof(struct udphdr, check);
	__be16 request = bpf_htons(OVERLAY_PROBE_REQUEST), answer = bpf_htons(OVERLAY_PROBE_ANSWER);

	return bpf_l4_csum_replace(packet->skb, checksum, request, answer,
				   sizeof(answer) | BPF_F_MARK_MANGLED_0) ||
	       bpf_skb_store_bytes(packet->skb,
				   arrival->size + offsetof(struct probe_message, kind_be), &answer,
				   sizeof(answer), 0);
}

static __always_inline int turn_outer(struct packet *packet, const struct arrival *arrival)
{
	struct mac macs[2];

	if (bpf_skb_load_bytes(packet->skb, offsetof(struct ethernet, destination), &macs[1],
			       sizeof(macs[1])) ||
	    bpf_skb_load_bytes(packet->skb, offsetof(struct ethernet, source), &macs[0],
			       sizeof(macs[0])) ||
	    bpf_skb_store_bytes(packet->skb, 0, macs, sizeof(macs), 0))
		return -1;
	return turn_ip(packet->skb, arrival->is_ipv6, arrival->header.hop_limit,
		       &packet->destination, &arrival->source);
}

/* From an underlay device: the answer goes back by where the request came from. */
static inline __cold int handle_probe(struct packet *packet, const struct arrival *arrival,
				      __u32 tag)
{
	struct probe_message message;
	int kind;

	if (bpf_skb_load_bytes(packet->skb, arrival->size, &message, sizeof(message)) ||
	    !is_probe(&message))
		return drop(packet, DROP_MALFORMED);
	kind = bpf_ntohs(message.kind_be);
	if (kind == OVERLAY_PROBE_ANSWER)
		return keep_answer(packet, &message, tag, packet->skb->len - ETH_HLEN);
	if (kind != OVERLAY_PROBE_REQUEST)
		return drop(packet, DROP_MALFORMED);
	if (turn_kind(packet, arrival) || turn_outer(packet, arrival))
		return drop(packet, DROP_KERNEL);
	return redirected(packet, packet->ifindex, bpf_redirect(packet->ifindex, 0));
}

/* Of the outer IP packet that the device has taken off. */
static __always_inline __u32 unpacked_size(struct packet *packet, const struct address *source)
{
	return packet->skb->len + (is_mapped(source) ? OUTER4_SIZE : OUTER6_SIZE) - ETH_HLEN;
}

/* Behind the VXLAN device, which packs the answer, too. */
static inline __cold int handle_unpacked_probe(struct packet *packet, const struct address *source,
					       __u32 tag)
{
	struct probe_message message;
	__be16 answer = bpf_htons(OVERLAY_PROBE_ANSWER);
	int kind;

	if (bpf_skb_load_bytes(packet->skb, 0, &message, sizeof(message)) || !is_probe(&message))
		return drop(packet, DROP_MALFORMED);
	kind = bpf_ntohs(message.kind_be);
	if (kind == OVERLAY_PROBE_ANSWER)
		return keep_answer(packet, &message, tag, unpacked_size(packet, source));
	if (kind != OVERLAY_PROBE_REQUEST)
		return drop(packet, DROP_MALFORMED);
	if (bpf_skb_store_bytes(packet->skb, offsetof(struct probe_message, kind_be), &answer,
				sizeof(answer), 0) ||
	    set_tunnel(packet->skb, source, NULL, OVERLAY_PROBE_VNI, 0))
		return drop(packet, DROP_KERNEL);
	packet->skb->mark = MARK_SENT;
	return redirected(packet, packet->ifindex, bpf_redirect(packet->ifindex, 0));
}

#endif
