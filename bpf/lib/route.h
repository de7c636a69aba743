/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The gateway: what is sent to its MAC is routed between the subnets of a network, by a router to another
 * network (router.h), or handed to the host, whose own routing leads outside. */
#ifndef WEFT_ROUTE_H
#define WEFT_ROUTE_H

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "ask.h"
#include "deliver.h"
#include "dns.h"
#include "echo.h"
#include "encap.h"
#include "icmp_error.h"
#include "packet.h"
#include "route_near.h"
#include "unroutable.h"

/* So many hops less, with the checksum of the IPv4 header (RFC 1624). */
static __always_inline int age(struct packet *packet, __u8 hops)
{
	__u8 hop_limit = packet->hop_limit - hops;

	if (packet->ethertype == bpf_htons(ETH_P_IPV6))
		return bpf_skb_store_bytes(packet->skb,
					   ETH_HLEN + offsetof(struct ipv6hdr, hop_limit),
					   &hop_limit, sizeof(hop_limit), BPF_F_RECOMPUTE_CSUM);
	return bpf_l3_csum_replace(packet->skb, ETH_HLEN + offsetof(struct iphdr, check),
				   bpf_htons(packet->hop_limit << 8), bpf_htons(hop_limit << 8),
				   2) ||
	       bpf_skb_store_bytes(packet->skb, ETH_HLEN + offsetof(struct iphdr, ttl), &hop_limit,
				   sizeof(hop_limit), 0);
}

/* To a port, as its gateway sends it. */
static __always_inline int send_to_port(struct packet *packet, const struct endpoint *endpoint)
{
	struct mac macs[2] = { endpoint->mac, gateway_mac };

	if (bpf_skb_store_bytes(packet->skb, 0, macs, sizeof(macs), 0))
		return drop(packet, DROP_KERNEL);
	return deliver_to_port(packet, endpoint);
}

static __always_inline int route_to_port(struct packet *packet, const struct routing *routing,
					 const struct endpoint *endpoint)
{
	if (packet->hop_limit <= 1)
		return refuse_for(packet, REFUSED_HOP_LIMIT);
	if (must_ask(packet, endpoint))
		return ask(packet, FLOW_LEAVES);
	keep_near(packet, routing, endpoint, packet->vni, 1, 0);
	if (age(packet, 1))
		return drop(packet, DROP_KERNEL);
	if (endpoint->tunnel)
		return send_to_host(packet, endpoint, true);
	return send_to_port(packet, endpoint);
}

static __always_inline const struct host_prefix *host_prefix_of(const struct address *address)
{
	struct host_prefix_key key = { .prefixlen = 128, .address = *address };

	return bpf_map_lookup_elem(&host_prefixes_v1, &key);
}

/* To the host, which routes it. From a subnet that has a gateway, and no other: one that is cut off
 * has addresses that the host knows as another network's. */
static __always_inline int leave_from(struct packet *packet, const struct subnet *subnet)
{
	if (!subnet)
		return drop(packet, DROP_SPOOFED_ADDRESS);
	if (is_zero_address(&subnet->gateway) || subnet->flags & SUBNET_CUT_OFF)
		return drop(packet, DROP_NO_ROUTE);
	return put_on_weft0(packet);
}

static __always_inline int leave_network(struct packet *packet)
{
	return leave_from(packet, subnet_of(packet, &packet->source));
}

/* `subnet`: the sender's. A router that knows no way tells so. */
static __always_inline int go_outside(struct packet *packet, const struct port *port,
				      const struct subnet *subnet)
{
	const struct host_prefix *prefix = host_prefix_of(&packet->destination);

	if (prefix && prefix->vni == packet->vni)
		return drop(packet, DROP_UNKNOWN_ADDRESS);
	if (prefix)
		return packet->is_lost ? refuse_for(packet, REFUSED_ISOLATED)
				       : drop(packet, DROP_ISOLATED);
	if (!(port->flags & PORT_OUTSIDE))
		return packet->is_lost ? refuse_for(packet, REFUSED_INTERNAL)
				       : drop(packet, DROP_INTERNAL);
	return leave_from(packet, subnet);
}

static __noinline int route_outside(struct packet *packet, const struct port *port)
{
	const struct subnet *subnet;
	int verdict = handle_query(packet, false);

	if (verdict != NEXT)
		return verdict;
	if (is_unroutable(&packet->destination))
		return drop(packet, DROP_RESERVED);
	if (subnet_of(packet, &packet->destination))
		return drop(packet, DROP_UNKNOWN_ADDRESS);
	subnet = subnet_of(packet, &packet->source);
	if (!packet->is_routed && (!subnet || subnet->table_high | subnet->table_low ||
				   !is_same_mac(&packet->destination_mac, &gateway_mac)))
		return FAR;
	return go_outside(packet, port, subnet);
}

/* What the gateway does not answer itself belongs to a connection of the host's (a published port
 * whose client is hidden behind the gateway). */
static __noinline int to_gateway(struct packet *packet)
{
	int verdict = handle_echo(packet);

	if (verdict != NEXT)
		return verdict;
	verdict = handle_query(packet, true);
	return verdict != NEXT ? verdict : leave_network(packet);
}

static __always_inline int route(struct packet *packet, const struct routing *routing,
				 const struct port *port)
{
	struct address link_local = link_local_of(&gateway_mac);
	const struct endpoint *endpoint;

	if (!is_ip(packet))
		return drop(packet, DROP_RESERVED);
	endpoint = bpf_map_lookup_elem(&addresses_v1, &packet->place);
	if (!endpoint)
		return is_same_address(&packet->destination, &link_local)
			       ? to_gateway(packet)
			       : route_outside(packet, port);
	if (endpoint->flags & ENDPOINT_GATEWAY)
		return to_gateway(packet);
	if (endpoint->flags & ENDPOINT_HOST && !endpoint->tunnel)
		return deliver_to_host(packet);
	if (!endpoint->tunnel && !endpoint->ifindex)
		return drop(packet, DROP_NO_ROUTE);
	return route_to_port(packet, routing, endpoint);
}

#endif
