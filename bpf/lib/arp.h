/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* ARP (RFC 826, 5227), answered from the records. A request that is sent to a port's own MAC is a
 * probe whether it is still alive, and goes there; where nobody has the MAC any more, it is answered. */
#ifndef WEFT_ARP_H
#define WEFT_ARP_H

#include "answer.h"
#include "deliver.h"
#include "flood.h"
#include "neighbour.h"
#include "packet.h"
#include "parse.h"
#include "spoof.h"

#define ARP_REQUEST bpf_htons(1)
#define ARP_REPLY   bpf_htons(2)

struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_size;
	__u8 protocol_size;
	__be16 operation;
	struct mac sender_mac;
	__be16 sender[2];
	struct mac target_mac;
	__be16 target[2];
};

static __always_inline __be32 joined(const __be16 halves[2])
{
	return (__u32)halves[1] << 16 | halves[0];
}

static __always_inline int check_arp_sender(struct packet *packet, const struct port *port,
					    const struct arp *arp, __be32 sender)
{
	struct address address = from_ipv4(sender);
	enum drop_reason reason;

	if (!is_checked(port))
		return NEXT;
	if (!is_same_mac(&arp->sender_mac, &packet->source_mac))
		return drop(packet, DROP_SPOOFED_MAC);
	/* A probe for a duplicate comes from nobody (RFC 5227). */
	if (!sender && arp->operation == ARP_REQUEST &&
	    is_same_mac(&packet->source_mac, &port->mac))
		return NEXT;
	reason = check_sender(packet, port, &address);
	return reason == DROP_NONE ? NEXT : drop(packet, reason);
}

static __always_inline int answer_arp(struct packet *packet, const struct arp *request,
				      const struct mac *mac)
{
	struct {
		struct ethernet ethernet;
		struct arp arp;
	} reply = {
		.ethernet = answer_ethernet(packet, mac),
		.arp = *request,
	};

	reply.arp.operation = ARP_REPLY;
	reply.arp.sender_mac = *mac;
	reply.arp.sender[0] = request->target[0];
	reply.arp.sender[1] = request->target[1];
	reply.arp.target_mac = request->sender_mac;
	reply.arp.target[0] = request->sender[0];
	reply.arp.target[1] = request->sender[1];
	if (bpf_skb_store_bytes(packet->skb, 0, &reply, sizeof(reply), 0))
		return drop(packet, DROP_KERNEL);
	return deliver_to_sender(packet);
}

static __always_inline int resolve(struct packet *packet, const struct port *port)
{
	const struct arp *header = header_at(packet, sizeof(struct ethernet), sizeof(*header));
	struct address_key key = { .vni = packet->vni };
	bool is_to_gateway = is_to_router(packet);
	const struct endpoint *endpoint;
	bool is_stray;
	struct arp arp;
	int verdict;

	if (!header)
		return drop(packet, DROP_MALFORMED);
	arp = *header;
	if (arp.hardware != bpf_htons(1) || arp.protocol != bpf_htons(ETH_P_IP) ||
	    arp.hardware_size != 6 || arp.protocol_size != 4 ||
	    (arp.operation != ARP_REQUEST && arp.operation != ARP_REPLY))
		return drop(packet, DROP_MALFORMED);
	verdict = check_arp_sender(packet, port, &arp, joined(arp.sender));
	if (verdict != NEXT)
		return verdict;
	is_stray = !is_to_gateway && is_lost(packet);
	if (!is_to_gateway && !is_stray && !is_multicast_mac(&packet->destination_mac))
		return NEXT;
	/* An announcement mends the others' caches; the gateway has none. */
	if (arp.operation == ARP_REPLY || joined(arp.sender) == joined(arp.target))
		return is_stray ? NEXT : is_to_gateway ? absorb() : FLOOD;
	key.address = from_ipv4(joined(arp.target));
	endpoint = bpf_map_lookup_elem(&addresses_v1, &key);
	if (!endpoint && is_stray)
		return NEXT;
	if (!endpoint)
		return is_to_gateway ? drop(packet, DROP_UNKNOWN_NEIGHBOUR) : flood_unknown(packet);
	if (endpoint->ifindex == packet->ifindex)
		return absorb();
	return answer_arp(packet, &arp, &endpoint->mac);
}

__cold_stage int handle_arp(struct __sk_buff *skb, const struct port *port)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };
	int verdict;

	if (!port)
		return TC_ACT_SHOT;
	packet.vni = port->vni;
	verdict = parse_ethernet(&packet);
	return verdict == NEXT ? resolve(&packet, port) : verdict;
}

#endif
