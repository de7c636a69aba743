/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* To a port on another host. Usually the outer header is pushed here and the packet goes straight to
 * the underlay's device, or to WireGuard's. The VXLAN device does it where the next hop is not known,
 * and for what already is a tunnel's packet or is cut into segments in a way that bpf_skb_adjust_room
 * does not know. */
#ifndef WEFT_ENCAP_H
#define WEFT_ENCAP_H

#include <linux/tcp.h>

#include "deliver.h"
#include "outer.h"
#include "packet.h"
#include "too_big.h"
#include "way.h"

/* The sender's packets fit already: with its segments' size kept, they fit with the header, too. */
#define PUSH_FLAGS                                                                              \
	(BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2_ETH | \
	 BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN))

/* The DSCP and ECN of the inner packet (RFC 2983, 6040); what is no IP has none. */
static __always_inline __u8 traffic_class(struct packet *packet)
{
	__u8 *first;

	if (!is_ip(packet))
		return 0;
	first = header_at(packet, ETH_HLEN, 2);
	if (!first)
		return 0;
	return packet->ethertype == bpf_htons(ETH_P_IP) ? first[1] : first[0] << 4 | first[1] >> 4;
}

/* Of the flow, so that the underlay and its network cards spread flows and keep each in order. */
static __always_inline __be16 flow_port(struct __sk_buff *skb)
{
	__u32 hash = bpf_get_hash_recalc(skb);

	return bpf_htons(FIRST_UDP_PORT | ((hash ^ hash >> 16) & ~FIRST_UDP_PORT));
}

/* Must come first: what the flow is cannot be seen once the packet has changed. */
static __always_inline struct overlay_header header_of(struct packet *packet,
						       const struct tunnel *tunnel)
{
	return (struct overlay_header){
		.vni = packet->vni,
		.tag = tunnel->flags & TUNNEL_RELAY ? tunnel->destination_tag : 0,
		.traffic_class = traffic_class(packet),
		.hop_limit = OUTER_TTL,
		.source_port = flow_port(packet->skb),
	};
}

static __always_inline bool is_encrypted(const struct tunnel *tunnel)
{
	return tunnel->flags & TUNNEL_ENCRYPTED;
}

/* Whether the way leads past WireGuard, though it must not: the device is not there, or is made anew
 * and not known here yet. The kernel's route for its addresses may then be any. */
static __always_inline bool is_astray(const struct tunnel *tunnel)
{
	return is_encrypted(tunnel) &&
	       (!weft.wireguard_ifindex || tunnel->ifindex != weft.wireguard_ifindex);
}

/* Room for the outer header. Afterwards the inner Ethernet header has to be written: for IP it is
 * the room's last part, for the rest it is where it was. */
static __always_inline int make_room(struct packet *packet, __u32 size, __u64 flags,
				     bool has_ethernet)
{
	struct __sk_buff *skb = packet->skb;

	if (is_ip(packet) && !bpf_skb_adjust_room(skb, size, BPF_ADJ_ROOM_MAC, PUSH_FLAGS | flags))
		return 0;
	/* Without the kernel's knowledge of an inner packet, and of where the outer IP header begins.
	 * Nobody needs to have it but a device that takes no Ethernet. */
	return skb->gso_size || !has_ethernet ? -1 : bpf_skb_change_head(skb, size, 0);
}

static __always_inline struct ethernet inner_ethernet(const struct packet *packet)
{
	return (struct ethernet){
		.destination = packet->destination_mac,
		.source = packet->source_mac,
		.type = packet->ethertype,
	};
}

/* -1: the packet is as it was; -2: it is spoilt. */
static __noinline int push4(struct packet *packet, const struct tunnel *tunnel)
{
	struct overlay_header header = header_of(packet, tunnel);
	struct outer4 outer;

	if (make_room(packet, OUTER4_SIZE, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, !is_encrypted(tunnel)))
		return -1;
	fill_outer4(&outer, tunnel, &header, packet->skb->len - ETH_HLEN);
	outer.inner = inner_ethernet(packet);
	return bpf_skb_store_bytes(packet->skb, 0, &outer.ethernet, OUTER4_SIZE + ETH_HLEN, 0) ? -2
											       : 0;
}

static __noinline int push6(struct packet *packet, const struct tunnel *tunnel)
{
	struct overlay_header header = header_of(packet, tunnel);
	struct outer6 outer;

	if (make_room(packet, OUTER6_SIZE, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6, !is_encrypted(tunnel)))
		return -1;
	fill_outer6(&outer, tunnel, &header, packet->skb->len - ETH_HLEN);
	outer.inner = inner_ethernet(packet);
	return bpf_skb_store_bytes(packet->skb, 0, &outer.ethernet, OUTER6_SIZE + ETH_HLEN, 0) ? -2
											       : 0;
}

static __always_inline int push(struct packet *packet, const struct tunnel *tunnel)
{
	if (is_astray(tunnel))
		return -1;
	return is_outer_ipv6(tunnel) ? push6(packet, tunnel) : push4(packet, tunnel);
}

/* Where the frame has to go, for the VXLAN device; `local` NULL: the kernel chooses. */
static __always_inline int set_tunnel(struct __sk_buff *skb, const struct address *remote,
				      const struct address *local, __u32 vni, __u8 class)
{
	struct bpf_tunnel_key key = {
		.tunnel_id = vni,
		.tunnel_tos = class,
		.tunnel_ttl = OUTER_TTL,
	};
	__u64 flags = BPF_F_DONT_FRAGMENT;

	if (is_mapped(remote)) {
		key.remote_ipv4 = bpf_ntohl(remote->words_be[3]);
		key.local_ipv4 = local ? bpf_ntohl(local->words_be[3]) : 0;
	} else {
		flags |= BPF_F_TUNINFO_IPV6;
		__builtin_memcpy(key.remote_ipv6, remote, sizeof(key.remote_ipv6));
		if (local)
			__builtin_memcpy(key.local_ipv6, local, sizeof(key.local_ipv6));
	}
	return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags);
}

static __cold int send_by_device(struct packet *packet, const struct tunnel *tunnel)
{
	struct mac macs[2] = { packet->destination_mac, packet->source_mac };
	__u8 class = traffic_class(packet);

	/* It cannot write the tag. */
	if (!weft.weftx_ifindex || tunnel->flags & TUNNEL_RELAY)
		return drop(packet, DROP_NO_TUNNEL);
	if (bpf_skb_store_bytes(packet->skb, 0, macs, sizeof(macs), 0) ||
	    set_tunnel(packet->skb, &tunnel->remote, &tunnel->local, packet->vni, class))
		return drop(packet, DROP_KERNEL);
	packet->skb->mark = MARK_SENT;
	return redirected(packet, weft.weftx_ifindex, bpf_redirect(weft.weftx_ifindex, 0));
}

/* A relay is reached by a pushed header always; when its MAC is not known, the
 * kernel finds the next hop. WireGuard's device needs none. */
static __always_inline int send_to_underlay(struct packet *packet, const struct tunnel *tunnel)
{
	if ((tunnel->flags & (TUNNEL_DEVICE | TUNNEL_ENCRYPTED)) == TUNNEL_DEVICE)
		return redirected(packet, tunnel->ifindex,
				  bpf_redirect_neigh(tunnel->ifindex, NULL, 0, 0));
	return redirected(packet, tunnel->ifindex, bpf_redirect(tunnel->ifindex, 0));
}

static __always_inline int send_by_tunnel(struct packet *packet, const struct tunnel *tunnel)
{
	int error;

	if ((tunnel->flags & (TUNNEL_DEVICE | TUNNEL_RELAY)) == TUNNEL_DEVICE)
		return send_by_device(packet, tunnel);
	if (!tunnel->ifindex)
		return drop(packet, DROP_NO_TUNNEL);
	error = push(packet, tunnel);
	if (error == -1)
		return send_by_device(packet, tunnel);
	return error ? drop(packet, DROP_KERNEL) : send_to_underlay(packet, tunnel);
}

/* A routed packet gets the MACs with which a gateway sends it. */
static __always_inline int send_to_host(struct packet *packet, const struct endpoint *endpoint,
					bool is_routed)
{
	struct tunnel *tunnel;

	if (!endpoint->tunnel)
		return drop(packet, DROP_NO_ROUTE);
	tunnel = tunnel_on(endpoint->way, endpoint->tunnel);
	if (!tunnel)
		return drop(packet, DROP_NO_TUNNEL);
	note_use(tunnel);
	if (exceeds(packet, tunnel->mtu))
		return refuse_size(packet, tunnel->mtu);
	if (is_routed) {
		copy_mac(&packet->destination_mac, &endpoint->mac);
		copy_mac(&packet->source_mac, &gateway_mac);
	}
	return send_by_tunnel(packet, tunnel);
}

#endif
