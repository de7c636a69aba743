/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Frames between the ports of one network, by MAC. Unknown unicast is not flooded: every MAC of a
 * network is in macs_v1 (see stray.h). */
#ifndef WEFT_SWITCH_H
#define WEFT_SWITCH_H

#include "ask.h"
#include "deliver.h"
#include "encap.h"
#include "near.h"
#include "packet.h"

/* Protocols between a switch and its neighbours: 01:80:c2:00:00:0x (IEEE 802.1D 7.12.6). */
static __always_inline bool is_reserved_mac(const struct mac *mac)
{
	return mac->words_be[0] == bpf_htons(0x0180) && mac->words_be[1] == bpf_htons(0xc200) &&
	       !(mac->words_be[2] & bpf_htons(0xfff0));
}

static __always_inline bool is_vlan(const struct packet *packet)
{
	return packet->ethertype == bpf_htons(ETH_P_8021Q) ||
	       packet->ethertype == bpf_htons(ETH_P_8021AD) ||
	       packet->ethertype == bpf_htons(ETH_P_QINQ1);
}

/* A router routes, whichever MAC it has. So does the host's own place, like the gateway: it must not be a
 * way around its checks. */
static __always_inline int switch_frame(struct packet *packet)
{
	struct mac_key key = { .vni = packet->vni, .mac = packet->destination_mac };
	const struct endpoint *endpoint = endpoint_of_mac(packet->skb, &key);

	if (!endpoint)
		return STRAY;
	if (endpoint->ifindex == packet->ifindex)
		return drop(packet, DROP_UNKNOWN_MAC);
	if (endpoint->tunnel)
		return send_to_host(packet, endpoint, false);
	if (endpoint->flags & (ENDPOINT_HOST | ENDPOINT_GATEWAY))
		return NEXT;
	if (!endpoint->ifindex)
		return drop(packet, DROP_NO_ROUTE);
	if (must_ask(packet, endpoint))
		return ask(packet, FLOW_LEAVES);
	return deliver_to_port(packet, endpoint);
}

#endif
