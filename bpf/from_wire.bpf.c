// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* What other hosts send: on the ingress of each underlay device, and of WireGuard's, which has no
 * Ethernet. Only VXLAN that is for this host is taken. */
#include "maps.h"
#include "lib/arrive.h"
#include "lib/decap.h"
#include "lib/outer.h"
#include "lib/packet.h"
#include "lib/parse_outer.h"
#include "lib/probe.h"
#include "lib/relay.h"

/* `mark`: what the VXLAN device's program is to know of a packet that is left to that device. */
static __always_inline int handle_arrival(struct packet *packet, struct arrival *arrival,
					  const struct peer *peer, __u32 mark)
{
	__u32 tag = arrival->header.tag;
	int verdict;

	if (tag && tag != weft.host_tag)
		return relay(packet, arrival);
	if (arrival->header.vni == OVERLAY_PROBE_VNI)
		return handle_probe(packet, arrival, peer->tag);
	packet->vni = arrival->header.vni;
	copy_mac(&packet->destination_mac, &arrival->inner.destination);
	copy_mac(&packet->source_mac, &arrival->inner.source);
	packet->ethertype = arrival->inner.type;
	verdict = arrive(packet, arrival);
	if (verdict == PASS)
		packet->skb->mark = mark;
	return verdict;
}

static __always_inline int from_underlay(struct packet *packet, struct arrival *arrival)
{
	int verdict = parse_outer(packet, arrival);
	const struct peer *peer;

	if (verdict != NEXT)
		return verdict;
	peer = bpf_map_lookup_elem(&peers_v1, &arrival->source);
	if (!peer || peer->tag == weft.host_tag)
		return drop(packet, DROP_UNKNOWN_PEER);
	if (peer->flags)
		return drop(packet, DROP_UNENCRYPTED);
	return handle_arrival(packet, arrival, peer, MARK_ARRIVED);
}

/* Out of WireGuard, which has no Ethernet. The kernel gets all but VXLAN as it is. */
static __always_inline int from_wireguard(struct packet *packet, struct arrival *arrival)
{
	const struct peer *peer;
	int verdict;

	if (!is_overlay(packet))
		return PASS;
	if (bpf_skb_change_head(packet->skb, ETH_HLEN, 0))
		return drop(packet, DROP_KERNEL);
	verdict = parse_outer(packet, arrival);
	if (verdict != NEXT)
		return verdict;
	peer = bpf_map_lookup_elem(&peers_v1, &arrival->source);
	if (!peer || !(peer->flags & PEER_ENCRYPTED) || peer->tag == weft.host_tag)
		return drop(packet, DROP_UNKNOWN_PEER);
	return handle_arrival(packet, arrival, peer, MARK_DECRYPTED);
}

SEC("tc")
int from_wire(struct __sk_buff *skb)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };
	struct arrival arrival;
	int verdict;

	if (weft.wireguard_ifindex && skb->ifindex == weft.wireguard_ifindex)
		verdict = from_wireguard(&packet, &arrival);
	else
		verdict = from_underlay(&packet, &arrival);
	if (verdict == JUDGE || verdict == COPIES)
		return judge_arrival(&packet, verdict);
	return verdict;
}

char program_license[] SEC("license") = "GPL";
