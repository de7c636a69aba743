/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is flooded, to the other hosts that have a port on the network, or a member of the group: each
 * gets one copy and floods it to its own ports. The packet is encapsulated once; then each copy gets its outer header written
 * anew. That goes for the hosts whose outer header is of one family; before, those of the other one
 * and those behind WireGuard, whose device takes no Ethernet, get theirs by way of the VXLAN device. */
#ifndef WEFT_REPLICATE_H
#define WEFT_REPLICATE_H

#include "encap.h"
#include "outer.h"
#include "packet.h"
#include "rewrite.h"
#include "way.h"

#define REPLICAS_MAX 1024 /* bounds the time that one packet may take */

struct replication {
	struct packet *packet;
	__u32 next;   /* tag of the host whose turn it is; 0: all have had theirs */
	__u32 family; /* 4 or 6: of the headers that are pushed; 0: no host gets such */
	struct overlay_header header;
};

static __always_inline const struct replica *replica_after(const struct packet *packet, __u32 tag)
{
	struct replica_key key = { .vni = packet->vni, .after = tag };

	return bpf_map_lookup_elem(&replicas_v2, &key);
}

static __always_inline bool has_replicas(const struct packet *packet)
{
	return replica_after(packet, 0);
}

/* 0: none follows. */
static __noinline __u32 tag_after(struct packet *packet, __u32 tag)
{
	const struct replica *replica = replica_after(packet, tag);

	return replica ? replica->tag : 0;
}

static __noinline bool is_member(struct packet *packet, __u32 tag)
{
	packet->receiver = tag;
	return !packet->skb->cb[FLOOD_TO_MEMBERS] ||
	       bpf_map_lookup_elem(&multicast_hosts_v1, &packet->member);
}

static __always_inline bool is_pushed(const struct packet *packet, const struct tunnel *tunnel)
{
	if (!tunnel->ifindex || is_astray(tunnel))
		return false;
	if (tunnel->flags & TUNNEL_RELAY)
		return is_ip(packet) || !is_encrypted(tunnel);
	return !(tunnel->flags & (TUNNEL_DEVICE | TUNNEL_ENCRYPTED));
}

static __always_inline __u32 family_of(const struct tunnel *tunnel)
{
	return is_outer_ipv6(tunnel) ? 6 : 4;
}

/* First round: the copies that the VXLAN device makes, and what header the others get. */
static long replicate_by_device(__u32 round __unused, struct replication *replication)
{
	struct packet *packet = replication->packet;
	__u32 tag = replication->next;
	struct tunnel *tunnel;

	if (!tag)
		return 1;
	replication->next = tag_after(packet, tag);
	if (!is_member(packet, tag))
		return 0;
	tunnel = tunnel_to(tag);
	if (!tunnel) {
		drop(packet, DROP_NO_TUNNEL);
		return 0;
	}
	note_use(tunnel);
	if (exceeds(packet, tunnel->mtu)) {
		drop(packet, DROP_TOO_BIG);
		return 0;
	}
	if (is_pushed(packet, tunnel)) {
		if (!replication->family)
			replication->family = family_of(tunnel);
		if (replication->family == family_of(tunnel))
			return 0;
	}
	if (!weft.weftx_ifindex || tunnel->flags & TUNNEL_RELAY ||
	    set_tunnel(packet->skb, &tunnel->remote, &tunnel->local, packet->vni,
		       replication->header.traffic_class) ||
	    bpf_clone_redirect(packet->skb, weft.weftx_ifindex, 0))
		drop(packet, DROP_NO_TUNNEL);
	return 0;
}

/* Second round: a new outer header, and a copy. The packet has grown, so its size is not asked for
 * again by `exceeds`. */
static long replicate_pushed(__u32 round __unused, struct replication *replication)
{
	struct packet *packet = replication->packet;
	__u32 overhead = replication->family == 6 ? OUTER6_SIZE : OUTER4_SIZE;
	__u32 tag = replication->next;
	const struct tunnel *tunnel;

	if (!tag)
		return 1;
	replication->next = tag_after(packet, tag);
	if (!is_member(packet, tag))
		return 0;
	tunnel = tunnel_to(tag);
	if (!tunnel || !is_pushed(packet, tunnel) || replication->family != family_of(tunnel) ||
	    (!packet->skb->gso_size && packet->skb->len > tunnel->mtu + ETH_HLEN + overhead))
		return 0;
	replication->header.tag = tunnel->flags & TUNNEL_RELAY ? tunnel->destination_tag : 0;
	if (write_outer(packet->skb, tunnel, &replication->header) ||
	    bpf_clone_redirect(packet->skb, tunnel->ifindex, 0))
		drop(packet, DROP_KERNEL);
	return 0;
}

/* Afterwards the packet is spent. */
static __cold void replicate(struct packet *packet)
{
	struct replication replication = {
		.packet = packet,
		.next = tag_after(packet, 0),
		.header = {
			.vni = packet->vni,
			.traffic_class = traffic_class(packet),
			.hop_limit = OUTER_TTL,
			.source_port = flow_port(packet->skb),
		},
	};
	struct ethernet inner = inner_ethernet(packet);
	bool is_ipv6;
	__u32 size;

	/* Verifiers older than Linux 6.7 follow what bpf_loop calls for one round only, and remove what
	 * that round cannot reach: it must not be known that there is a next host, or no family yet. */
	*(volatile __u32 *)&packet->skb->cb[FLOOD_FAMILY] = 0;
	replication.family = *(volatile __u32 *)&packet->skb->cb[FLOOD_FAMILY];
	packet->skb->mark = MARK_SENT;
	bpf_loop(REPLICAS_MAX, replicate_by_device, &replication, 0);
	if (!replication.family)
		return;
	is_ipv6 = replication.family == 6;
	size = is_ipv6 ? OUTER6_SIZE : OUTER4_SIZE;
	if (make_room(packet, size,
		      is_ipv6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4,
		      true) ||
	    bpf_skb_store_bytes(packet->skb, size, &inner, sizeof(inner), 0)) {
		drop(packet, DROP_KERNEL);
		return;
	}
	replication.next = tag_after(packet, 0);
	bpf_loop(REPLICAS_MAX, replicate_pushed, &replication, 0);
}

#endif
