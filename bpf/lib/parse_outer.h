/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What arrives by the underlay: whether it is VXLAN for this host, and what its outer header says. The
 * rest is the kernel's, and nothing is done to it. */
#ifndef WEFT_PARSE_OUTER_H
#define WEFT_PARSE_OUTER_H

#include "outer.h"
#include "packet.h"
#include "parse.h"

#define PASS	     TC_ACT_UNSPEC /* the device's next program, then the kernel */
#define VLAN_ID_MASK 0x0fff

/* An outer header, as far as it matters behind it. Its destination is the packet's, until the inner header
 * is parsed. */
struct arrival {
	struct overlay_header header;
	bool is_ipv6;
	bool has_checksum;
	__u32 size; /* up to the inner Ethernet header */
	struct address source;
	struct ethernet inner;
};

/* Everything behind an IP header that may begin one of ours. */
struct overlay_start {
	struct udphdr udp;
	struct vxlan vxlan;
	struct ethernet inner;
};

#define OVERLAY_START_SIZE (offsetof(struct overlay_start, inner) + ETH_HLEN)

/* For hosts with many addresses. */
static __cold bool is_own_peer(const struct address *address)
{
	const struct peer *peer = bpf_map_lookup_elem(&peers_v1, address);

	return peer && weft.host_tag && peer->tag == weft.host_tag;
}

static __always_inline bool is_own_address(const struct address *address)
{
	__u32 all = 0;
	const struct own_addresses *own = bpf_map_lookup_elem(&own_addresses_v1, &all);

	if (!own)
		return false;
	for (int i = 0; i < OWN_ADDRESSES; i++) {
		if (is_zero_address(&own->addresses[i]))
			return false;
		if (is_same_address(&own->addresses[i], address))
			return true;
	}
	return is_own_peer(address);
}

/* Options and fragments: no host of the cluster sends them, and nobody shall get past the checks by
 * way of them. `l4` is where UDP begins. */
static __cold int refuse_odd(struct packet *packet, __u32 l4)
{
	__be16 ports[2];

	if (bpf_skb_load_bytes(packet->skb, l4, ports, sizeof(ports)) ||
	    ports[1] != bpf_htons(weft.overlay_port) || !is_own_address(&packet->destination))
		return PASS;
	return drop(packet, DROP_FRAGMENT);
}

/* NEXT: UDP begins right behind the header. */
static __always_inline int check_outer4(struct packet *packet, const struct iphdr *ip)
{
	if (ip->protocol != IPPROTO_UDP || ip->version != 4)
		return PASS;
	if (ip->ihl == sizeof(*ip) / 4 && !(ip->frag_off & bpf_htons(0x3fff)))
		return NEXT;
	if (ip->ihl < sizeof(*ip) / 4 || ip->frag_off & bpf_htons(0x1fff))
		return PASS; /* a later fragment is nothing without the first */
	packet->destination = from_ipv4(ip->daddr);
	return refuse_odd(packet, ETH_HLEN + ip->ihl * 4);
}

static __cold int check_extensions(struct packet *packet, const struct ipv6hdr *ip)
{
	__u32 l4 = ETH_HLEN + sizeof(*ip);
	__u8 protocol = ip->nexthdr;

	__builtin_memcpy(&packet->destination, &ip->daddr, sizeof(packet->destination));
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		struct {
			__u8 next;
			__u8 length;
			__be16 fragment;
		} extension;

		if (!is_extension(protocol) || protocol == IPPROTO_AH ||
		    bpf_skb_load_bytes(packet->skb, l4, &extension, sizeof(extension)))
			return PASS;
		if (protocol == IPPROTO_FRAGMENT && extension.fragment & bpf_htons(0xfff8))
			return PASS;
		l4 += protocol == IPPROTO_FRAGMENT ? 8 : (extension.length + 1) * 8;
		protocol = extension.next;
		if (protocol == IPPROTO_UDP)
			return refuse_odd(packet, l4);
	}
	return PASS;
}

static __always_inline int check_outer6(struct packet *packet, const struct ipv6hdr *ip)
{
	if (ip->version != 6)
		return PASS;
	if (ip->nexthdr == IPPROTO_UDP)
		return NEXT;
	return is_extension(ip->nexthdr) ? check_extensions(packet, ip) : PASS;
}

/* The header must fit the packet; `ip_length` is what the IP header says, 0: more than it can. */
static __always_inline int parse_overlay(struct packet *packet, struct arrival *arrival,
					 __u32 ip_size, __u32 ip_length)
{
	const struct overlay_start *start;
	__u32 flags, vni, udp_length;

	arrival->size = ETH_HLEN + ip_size + offsetof(struct overlay_start, inner);
	start = header_at(packet, ETH_HLEN + ip_size, OVERLAY_START_SIZE);
	if (!start)
		return drop(packet, DROP_MALFORMED);
	udp_length = bpf_ntohs(start->udp.len);
	if (!ip_length || !udp_length) {
		if (ip_length || packet->skb->len < ETH_HLEN + JUMBO)
			return drop(packet, DROP_MALFORMED);
	} else if (ETH_HLEN + ip_length > packet->skb->len || ip_size + udp_length > ip_length ||
		   udp_length < OVERLAY_START_SIZE) {
		return drop(packet, DROP_MALFORMED);
	}
	flags = bpf_ntohl(start->vxlan.flags);
	vni = bpf_ntohl(start->vxlan.vni);
	if ((flags & 0xff000000) != VXLAN_VALID)
		return drop(packet, DROP_MALFORMED);
	arrival->header.vni = vni >> 8;
	arrival->header.tag = flags << 8 | (vni & 0xff);
	arrival->header.source_port = start->udp.source;
	arrival->has_checksum = start->udp.check;
	arrival->inner = start->inner;
	return NEXT;
}

static __always_inline int parse_outer4(struct packet *packet, struct arrival *arrival)
{
	struct start {
		struct iphdr ip;
		struct udphdr udp;
	} *start = header_at(packet, ETH_HLEN, sizeof(*start));
	__u32 length;
	int verdict;

	if (!start)
		return PASS;
	verdict = check_outer4(packet, &start->ip);
	if (verdict != NEXT)
		return verdict;
	if (start->udp.dest != bpf_htons(weft.overlay_port))
		return PASS;
	arrival->is_ipv6 = false;
	arrival->source = from_ipv4(start->ip.saddr);
	packet->destination = from_ipv4(start->ip.daddr);
	arrival->header.traffic_class = start->ip.tos;
	arrival->header.hop_limit = start->ip.ttl;
	length = bpf_ntohs(start->ip.tot_len);
	if (!is_own_address(&packet->destination))
		return PASS;
	return parse_overlay(packet, arrival, sizeof(struct iphdr), length);
}

static __always_inline int parse_outer6(struct packet *packet, struct arrival *arrival)
{
	struct start {
		struct ipv6hdr ip;
		struct udphdr udp;
	} *start = header_at(packet, ETH_HLEN, sizeof(*start));
	const __u8 *first;
	__u32 length;
	int verdict;

	if (!start)
		return PASS;
	verdict = check_outer6(packet, &start->ip);
	if (verdict != NEXT)
		return verdict;
	if (start->udp.dest != bpf_htons(weft.overlay_port))
		return PASS;
	arrival->is_ipv6 = true;
	__builtin_memcpy(&arrival->source, &start->ip.saddr, sizeof(arrival->source));
	__builtin_memcpy(&packet->destination, &start->ip.daddr, sizeof(packet->destination));
	first = (const __u8 *)&start->ip;
	arrival->header.traffic_class = first[0] << 4 | first[1] >> 4;
	arrival->header.hop_limit = start->ip.hop_limit;
	length = bpf_ntohs(start->ip.payload_len);
	if (length)
		length += sizeof(struct ipv6hdr);
	/* In our maps these stand for IPv4; on a wire they stand for nothing. */
	if (is_mapped(&arrival->source) || is_mapped(&packet->destination) ||
	    !is_own_address(&packet->destination))
		return PASS;
	return parse_overlay(packet, arrival, sizeof(struct ipv6hdr), length);
}

/* Of a packet without Ethernet: whether it may be VXLAN. */
static __always_inline bool is_overlay(struct packet *packet)
{
	bool is_ipv6 = packet->skb->protocol == bpf_htons(ETH_P_IPV6);
	__u32 udp = is_ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	__u32 next = is_ipv6 ? offsetof(struct ipv6hdr, nexthdr) : offsetof(struct iphdr, protocol);
	__be16 port;
	__u8 protocol;

	return !bpf_skb_load_bytes(packet->skb, next, &protocol, sizeof(protocol)) &&
	       protocol == IPPROTO_UDP &&
	       !bpf_skb_load_bytes(packet->skb, udp + offsetof(struct udphdr, dest), &port,
				   sizeof(port)) &&
	       port == bpf_htons(weft.overlay_port);
}

static __always_inline int parse_outer(struct packet *packet, struct arrival *arrival)
{
	struct __sk_buff *skb = packet->skb;
	__u32 protocol = skb->protocol;

	/* A tag that names no VLAN says a priority alone, and the packet is this device's all the same. */
	if (skb->vlan_present && (skb->vlan_tci & VLAN_ID_MASK || bpf_skb_vlan_pop(skb)))
		return PASS; /* that is another device's */
	if (protocol == bpf_htons(ETH_P_IP))
		return parse_outer4(packet, arrival);
	if (protocol == bpf_htons(ETH_P_IPV6))
		return parse_outer6(packet, arrival);
	return PASS;
}

#endif
