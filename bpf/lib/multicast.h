/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Multicast groups (RFC 4541): who has joined one, weftd learns from what the ports report, by IGMP
 * (RFC 1112, 2236, 3376) and MLD (RFC 2710, 3810). Reports go to weftd alone, so no port keeps its own
 * back because it heard another's; queries come from weftd alone. */
#ifndef WEFT_MULTICAST_H
#define WEFT_MULTICAST_H

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "count.h"
#include "deliver.h"
#include "limit.h"
#include "packet.h"
#include "spoof.h"

#define IGMP_QUERY     0x11
#define IGMP_V1_REPORT 0x12
#define IGMP_V2_REPORT 0x16
#define IGMP_V2_LEAVE  0x17
#define IGMP_V3_REPORT 0x22
#define MLD_QUERY      130

#define REPORTS_BURST	256
#define REPORT_EVERY_NS 20000000 /* 50 a second for each port */

/* What everybody gets, members or not: 224.0.0.0/24, for which hosts need not report (RFC 4541 2.1.2),
 * ff02::1, and the solicited-node addresses ff02::1:ff00:0/104, of which every address makes one and
 * which carry nothing here that is not answered or for all. */
static __always_inline bool is_for_members(const struct packet *packet)
{
	const __be32 *words = packet->destination.words_be;
	__u32 last = bpf_ntohl(words[3]);

	if (packet->ethertype == bpf_htons(ETH_P_IP))
		return last >> 28 == 0xe && last >> 8 != 0xe00000;
	if (packet->ethertype != bpf_htons(ETH_P_IPV6) || bpf_ntohl(words[0]) >> 24 != 0xff)
		return false;
	if (words[0] != bpf_htonl(0xff020000) || words[1])
		return true;
	return !(!words[2] && last == 1) && !(words[2] == bpf_htonl(1) && last >> 24 == 0xff);
}

/* The destination of a packet that is not parsed. */
static __always_inline bool load_destination(struct packet *packet)
{
	if (packet->ethertype == bpf_htons(ETH_P_IP)) {
		packet->destination = from_ipv4(0);
		return !bpf_skb_load_bytes(packet->skb, ETH_HLEN + offsetof(struct iphdr, daddr),
					   &packet->destination.words_be[3], sizeof(__be32));
	}
	if (packet->ethertype == bpf_htons(ETH_P_IPV6))
		return !bpf_skb_load_bytes(packet->skb, ETH_HLEN + offsetof(struct ipv6hdr, daddr),
					   &packet->destination, sizeof(packet->destination));
	return true;
}

/* For weftd, which listens on weft0; to the host's stack the ethertype means nothing. */
static __noinline int report_to_weftd(struct packet *packet, __be16 type)
{
	__be16 ethernet[ETH_HLEN / 2] = {
		weft.weft0_mac.words_be[0],
		weft.weft0_mac.words_be[1],
		weft.weft0_mac.words_be[2],
		bpf_htons(REPORT_MAC_HIGH),
		bpf_htons(packet->ifindex >> 16),
		bpf_htons(packet->ifindex & 0xffff),
		type,
	};

	if (!is_within(&reports_v1, packet->ifindex, REPORTS_BURST, REPORT_EVERY_NS))
		return drop(packet, DROP_TOO_MANY);
	if (bpf_skb_store_bytes(packet->skb, 0, ethernet, sizeof(ethernet), 0))
		return drop(packet, DROP_KERNEL);
	return redirected(packet, weft.weft0_ifindex,
			  bpf_redirect(weft.weft0_ifindex, BPF_F_INGRESS));
}

static __always_inline bool is_mld(__u8 type)
{
	return type == MLD_QUERY || type == MLD_V1_REPORT || type == MLD_V1_DONE ||
	       type == MLD_V2_REPORT;
}

static __always_inline bool is_membership(const struct packet *packet)
{
	return packet->protocol == IPPROTO_IGMP || is_mld(packet->icmp_type);
}

/* NEXT: it is about no membership. */
static inline __noinline int handle_membership(struct packet *packet)
{
	__u8 type = packet->icmp_type;

	if (packet->ethertype == bpf_htons(ETH_P_IPV6)) {
		if (!is_mld(type))
			return NEXT;
	} else if (packet->ethertype != bpf_htons(ETH_P_IP) || packet->protocol != IPPROTO_IGMP) {
		return NEXT;
	} else if (packet->is_fragment || packet->l4 + 8 > packet->end ||
		   bpf_skb_load_bytes(packet->skb, packet->l4, &type, sizeof(type))) {
		return drop(packet, DROP_MALFORMED);
	} else if (type != IGMP_QUERY && type != IGMP_V1_REPORT && type != IGMP_V2_REPORT &&
		   type != IGMP_V2_LEAVE && type != IGMP_V3_REPORT) {
		return NEXT;
	}
	if (packet->is_fragment)
		return drop(packet, DROP_MALFORMED);
	if (type == IGMP_QUERY || type == MLD_QUERY)
		return drop(packet, DROP_RESERVED);
	return report_to_weftd(packet, bpf_htons(REPORT_TYPE));
}

/* Nobody has joined it. Workloads look for routers as they start, and that there are none is no loss. */
static __always_inline int refuse_group(struct packet *packet)
{
	return packet->icmp_type == ND_RS ? absorb() : drop(packet, DROP_NO_MEMBER);
}

static __always_inline void flood_to_all(struct packet *packet)
{
	packet->skb->cb[FLOOD_TO_MEMBERS] = false;
}

/* Where the network snoops: whom the packet is for. */
static __noinline int flood_to_members(struct packet *packet)
{
	const struct multicast_group *group;

	if (!is_for_members(packet))
		return NEXT;
	group = bpf_map_lookup_elem(&multicast_groups_v1, &packet->group);
	if (!group)
		return refuse_group(packet);
	if (group->flags & MULTICAST_FLOODED)
		return NEXT;
	packet->skb->cb[FLOOD_TO_MEMBERS] = true;
	return NEXT;
}

#endif
