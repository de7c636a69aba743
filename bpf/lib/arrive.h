/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Frames from other hosts to the ports and the place of this one. Their host has checked the source,
 * routed and counted the hop; what remains is where the MAC is, and whether the rules of the port there
 * let it in. Nothing goes on to a third host (split horizon). */
#ifndef WEFT_ARRIVE_H
#define WEFT_ARRIVE_H

#include "decap.h"
#include "deliver.h"
#include "flood_judged.h"
#include "flood_ports.h"
#include "flow.h"
#include "hit.h"
#include "multicast.h"
#include "near.h"
#include "packet.h"
#include "stray.h"
#include "switch.h"

/* `arrival` NULL: the VXLAN device has unpacked it. */
static __always_inline int opened(struct packet *packet, const struct arrival *arrival)
{
	if (is_vlan(packet))
		return drop(packet, DROP_RESERVED);
	return arrival ? unpack(packet, arrival) : NEXT;
}

static __cold int refuse_arrival(struct packet *packet)
{
	if (!bpf_map_lookup_elem(&networks_v1, &packet->vni))
		return drop(packet, DROP_UNKNOWN_VNI);
	return drop(packet, DROP_UNKNOWN_MAC);
}

static __cold int arrive_at_all(struct packet *packet, const struct arrival *arrival)
{
	const struct network *network = bpf_map_lookup_elem(&networks_v1, &packet->vni);
	int verdict;

	if (!network)
		return drop(packet, DROP_UNKNOWN_VNI);
	if (is_reserved_mac(&packet->destination_mac))
		return drop(packet, DROP_RESERVED);
	verdict = opened(packet, arrival);
	if (verdict != NEXT)
		return verdict;
	flood_to_all(packet);
	if (network->flags & NETWORK_SNOOPS) {
		if (!load_destination(packet))
			return drop(packet, DROP_MALFORMED);
		verdict = flood_to_members(packet);
		if (verdict != NEXT)
			return verdict;
	}
	if (network->flags & NETWORK_JUDGES)
		return COPIES;
	flood_ports(packet, network);
	return TC_ACT_SHOT; /* the copies went out; this one is spent */
}

static __cold int arrive_at_host(struct packet *packet, const struct arrival *arrival)
{
	int verdict = opened(packet, arrival);

	if (verdict == NEXT)
		verdict = parse(packet);
	return verdict == NEXT ? deliver_to_host(packet) : verdict;
}

/* To a MAC that nobody has. */
static __always_inline int deliver_stray(struct packet *packet)
{
	const struct endpoint *endpoint;
	int verdict = parse(packet);

	if (verdict != NEXT)
		return verdict;
	endpoint = endpoint_of_address(packet);
	if (!endpoint || endpoint->tunnel)
		return drop(packet, DROP_UNKNOWN_MAC);
	return deliver_by_address(packet, endpoint, FLOW_ARRIVES);
}

static __cold int arrive_stray(struct packet *packet, const struct arrival *arrival)
{
	int verdict;

	if (!bpf_map_lookup_elem(&networks_v1, &packet->vni))
		return drop(packet, DROP_UNKNOWN_VNI);
	verdict = opened(packet, arrival);
	return verdict == NEXT ? deliver_stray(packet) : verdict;
}

static __always_inline int arrive(struct packet *packet, const struct arrival *arrival)
{
	struct mac_key key = { .vni = packet->vni, .mac = packet->destination_mac };
	const struct endpoint *endpoint;
	int verdict;

	if (is_multicast_mac(&packet->destination_mac))
		return arrive_at_all(packet, arrival);
	endpoint = endpoint_of_mac(packet->skb, &key);
	if (!endpoint)
		return arrive_stray(packet, arrival);
	if (endpoint->tunnel)
		return refuse_arrival(packet);
	if (endpoint->flags & ENDPOINT_HOST)
		return arrive_at_host(packet, arrival);
	if (!endpoint->ifindex)
		return refuse_arrival(packet);
	verdict = opened(packet, arrival);
	if (verdict == NEXT && must_ask(packet, endpoint))
		return JUDGE;
	return verdict == NEXT ? deliver_to_port(packet, endpoint) : verdict;
}

/* The frame is unpacked from here on. */
__stage int ask_arrival(struct __sk_buff *skb, __u32 vni)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex, .vni = vni };
	int verdict = parse(&packet);

	return verdict == NEXT ? ask(&packet, FLOW_ARRIVES) : verdict;
}

/* To the port that the rules have let it in to. */
__stage int admit_arrival(struct __sk_buff *skb, __u32 vni)
{
	struct packet packet = {
		.skb = skb,
		.ifindex = skb->ifindex,
		.vni = vni,
		.is_judged = true,
	};
	struct mac_key key = { .vni = vni };
	const struct endpoint *endpoint;
	int verdict = parse_ethernet(&packet);

	if (verdict != NEXT)
		return verdict;
	copy_mac(&key.mac, &packet.destination_mac);
	endpoint = bpf_map_lookup_elem(&macs_v1, &key);
	if (!endpoint)
		return deliver_stray(&packet);
	if (endpoint->tunnel || !endpoint->ifindex)
		return drop(&packet, DROP_UNKNOWN_MAC);
	return deliver_to_port(&packet, endpoint);
}

/* The copies of ports that are not judged. */
__cold_stage int flood_arrival(struct __sk_buff *skb, __u32 vni)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex, .vni = vni };
	const struct network *network = bpf_map_lookup_elem(&networks_v1, &packet.vni);

	if (network && parse_ethernet(&packet) == NEXT && load_destination(&packet))
		flood_ports(&packet, network);
	return TC_ACT_SHOT;
}

/* Back to the host that has sent what the rules reject, see reject.h. */
static __cold int tell_other_host(struct packet *packet)
{
	struct inquiry *inquiry = inquiry_of(packet->skb);
	const struct endpoint *sender;
	struct tunnel *tunnel;

	if (!inquiry)
		return TC_ACT_SHOT;
	packet->vni = inquiry->source_vni;
	packet->destination = inquiry->source;
	sender = bpf_map_lookup_elem(&addresses_v1, &packet->place);
	if (!sender || !sender->tunnel)
		return TC_ACT_SHOT;
	tunnel = tunnel_on(sender->way, sender->tunnel);
	if (!tunnel || packet->skb->len > tunnel->mtu + ETH_HLEN)
		return TC_ACT_SHOT;
	note_use(tunnel);
	copy_mac(&packet->destination_mac, &sender->mac);
	copy_mac(&packet->source_mac, &gateway_mac);
	return send_by_tunnel(packet, tunnel);
}

/* What `arrive` leaves to be judged; it is called where there is stack left for it. */
static __always_inline int judge_arrival(struct packet *packet, int what)
{
	struct __sk_buff *skb = packet->skb;
	__u32 vni = packet->vni;
	int verdict = what == JUDGE ? take_short_way_in(skb, vni) : NEXT;

	if (verdict != NEXT)
		return verdict;
	verdict = ask_arrival(skb, vni);
	if (what == COPIES) {
		if (verdict == JUDGE)
			flood_judged(skb);
		return flood_arrival(skb, vni);
	}
	if (verdict == JUDGE)
		verdict = track(skb);
	if (verdict == REJECTED)
		return tell_other_host(packet);
	return verdict == NEXT ? admit_arrival(skb, vni) : verdict;
}

#endif
