/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The ways out: into a local port, back to the sender, or to the host. */
#ifndef WEFT_DELIVER_H
#define WEFT_DELIVER_H

#include "../maps.h"
#include "count.h"
#include "packet.h"

static __always_inline int redirected(struct packet *packet, __u32 ifindex, int verdict)
{
	if (verdict != TC_ACT_REDIRECT)
		return drop(packet, DROP_KERNEL);
	packet->skb->cb[TRACE_TARGET] = ifindex;
	return verdict;
}

/* Whether rules have to let IP into the port first. Those that bear on other protocols there are none. */
static __always_inline bool must_ask(const struct packet *packet, const struct endpoint *endpoint)
{
	return endpoint->flags & ENDPOINT_JUDGED && !packet->is_judged && is_ip(packet);
}

/* Kernels that do not do so themselves leave the packet's type as the host's end saw it, for another MAC,
 * and then drop it. */
static __always_inline int make_own(struct __sk_buff *skb)
{
	if (weft.peer_resets_type || skb->pkt_type == PACKET_HOST)
		return 0;
	return bpf_skb_change_type(skb, PACKET_HOST);
}

/* IP goes straight into the workload's end of the veth. Other protocols, taps and veths that stay in the
 * host's namespace get it through the device. */
static __always_inline int deliver_to_port(struct packet *packet, const struct endpoint *endpoint)
{
	struct __sk_buff *skb = packet->skb;
	__u32 ifindex = endpoint->ifindex;

	count_received(ifindex, skb->len);
	if (!is_ip(packet) || endpoint->flags & ENDPOINT_REDIRECT)
		return redirected(packet, ifindex, bpf_redirect(ifindex, 0));
	if (make_own(skb))
		return drop(packet, DROP_KERNEL);
	return redirected(packet, ifindex, bpf_redirect_peer(ifindex, 0));
}

/* An answer that was made out of the question. */
static __always_inline int deliver_to_sender(struct packet *packet)
{
	count_received(packet->ifindex, packet->skb->len);
	return redirected(packet, packet->ifindex, bpf_redirect(packet->ifindex, 0));
}

/* The subnet of the sender's network that an address is in, if any. */
static __always_inline const struct subnet *subnet_of(struct packet *packet,
						      const struct address *address)
{
	struct subnet_key key = {
		.prefixlen = 32 + 128,
		.vni = packet->vni,
		.address = *address,
	};

	return bpf_map_lookup_elem(&subnets_v1, &key);
}

/* Puts it on weft0 as if it came in there. The host's own routing decides the rest. */
static __always_inline int put_on_weft0(struct packet *packet)
{
	struct mac mac = weft.weft0_mac;

	if (bpf_skb_store_bytes(packet->skb, offsetof(struct ethernet, destination), &mac,
				sizeof(mac), 0))
		return drop(packet, DROP_KERNEL);
	count_received(weft.weft1_ifindex, packet->skb->len);
	return redirected(packet, weft.weft0_ifindex,
			  bpf_redirect(weft.weft0_ifindex, BPF_F_INGRESS));
}

/* The host must not meet loopback addresses, aliases or other networks' addresses as sources, spoof
 * check or not. */
static __always_inline int deliver_to_host(struct packet *packet)
{
	if (!is_ip(packet) || !subnet_of(packet, &packet->source))
		return drop(packet, DROP_SPOOFED_ADDRESS);
	return put_on_weft0(packet);
}

#endif
