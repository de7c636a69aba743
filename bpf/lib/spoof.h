/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Who a packet says it is from. A port may send from its own MAC with its own addresses, from its
 * link-local address, and from the (MAC, prefix) pairs in allowed_v1. */
#ifndef WEFT_SPOOF_H
#define WEFT_SPOOF_H

#include "count.h"
#include "packet.h"

#define MLD_V1_REPORT 131
#define MLD_V1_DONE   132
#define MLD_V2_REPORT 143
#define ND_RS	      133
#define ND_NS	      135

#define DHCP_CLIENT   bpf_htons(68)
#define DHCP_SERVER   bpf_htons(67)
#define DHCPV6_CLIENT bpf_htons(546)
#define DHCPV6_SERVER bpf_htons(547)

#define LENGTHS_END 0x0600 /* below, the type is a length (IEEE 802.3) */
#define SNAP	    0xaa

static __always_inline bool is_checked(const struct port *port)
{
	return !(port->flags & PORT_ANY_SOURCE);
}

/* The reason why not, or DROP_NONE. */
__cold_stage int check_allowed(__u32 ifindex, const struct mac *own, const struct mac *mac,
			       const struct address *address)
{
	struct allowed_key key = { .prefixlen = 32 + 128, .ifindex = ifindex };
	const struct allowed *allowed;
	bool is_own_mac;

	if (!own || !mac || !address)
		return DROP_KERNEL;
	key.address = *address;
	allowed = bpf_map_lookup_elem(&allowed_v1, &key);
	is_own_mac = is_same_mac(mac, own);
	if (allowed && (is_zero_mac(&allowed->mac) ? is_own_mac : is_same_mac(mac, &allowed->mac)))
		return DROP_NONE;
	return is_own_mac ? DROP_SPOOFED_ADDRESS : DROP_SPOOFED_MAC;
}

/* Whether the port may use this address together with the packet's source MAC. */
static __always_inline enum drop_reason check_sender(struct packet *packet, const struct port *port,
						     const struct address *address)
{
	if (is_same_mac(&packet->source_mac, &port->mac) && !is_zero_address(address)) {
		struct address link_local = link_local_of(&port->mac);

		if (is_same_address(address, &port->ipv4) ||
		    is_same_address(address, &port->ipv6) || is_same_address(address, &link_local))
			return DROP_NONE;
	}
	return check_allowed(packet->ifindex, &port->mac, &packet->source_mac, address);
}

/* Packets that are sent before the sender has an address. */
static __always_inline bool is_unspecified_rightly(const struct packet *packet)
{
	if (packet->ethertype == bpf_htons(ETH_P_IP))
		return packet->source.words_be[3] == 0 &&
		       (packet->protocol == IPPROTO_IGMP ||
			(packet->source_port == DHCP_CLIENT &&
			 packet->destination_port == DHCP_SERVER));
	return is_zero_address(&packet->source) &&
	       (packet->icmp_type == ND_NS || packet->icmp_type == ND_RS ||
		packet->icmp_type == MLD_V1_REPORT || packet->icmp_type == MLD_V1_DONE ||
		packet->icmp_type == MLD_V2_REPORT);
}

/* Answers that only the network itself gives: a workload that gave them would capture others
 * (router advertisement and redirect are in nd.h). Clients take them from any source port. */
static __always_inline bool is_dhcp_answer(const struct packet *packet)
{
	return packet->destination_port == DHCP_CLIENT || packet->destination_port == DHCPV6_CLIENT;
}

/* The other way to carry IP and ARP on Ethernet (RFC 1042): some systems take it, and none of the checks
 * would look inside. */
static __cold bool is_snap(struct packet *packet)
{
	__u8 access_point;

	return bpf_ntohs(packet->ethertype) < LENGTHS_END &&
	       !bpf_skb_load_bytes(packet->skb, ETH_HLEN, &access_point, sizeof(access_point)) &&
	       (access_point & 0xfe) == SNAP;
}

static __always_inline int check_ip_source(struct packet *packet, const struct port *port)
{
	enum drop_reason reason = check_sender(packet, port, &packet->source);

	if (reason != DROP_NONE &&
	    !(is_same_mac(&packet->source_mac, &port->mac) && is_unspecified_rightly(packet)))
		return drop(packet, reason);
	if (packet->protocol == IPPROTO_UDP && is_dhcp_answer(packet))
		return drop(packet, DROP_RESERVED);
	return NEXT;
}

/* ARP has its own check (arp.h). */
static __always_inline int check_source(struct packet *packet, const struct port *port)
{
	if (!is_checked(port) || packet->ethertype == bpf_htons(ETH_P_ARP))
		return NEXT;
	if (packet->ethertype == bpf_htons(ETH_P_IP) || packet->ethertype == bpf_htons(ETH_P_IPV6))
		return check_ip_source(packet, port);
	if (!is_same_mac(&packet->source_mac, &port->mac))
		return drop(packet, DROP_SPOOFED_MAC);
	return is_snap(packet) ? drop(packet, DROP_RESERVED) : NEXT;
}

#endif
