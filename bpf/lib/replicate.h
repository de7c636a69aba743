/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is flooded, to the other hosts that have a port on the network, or a member of the group: each
 * gets one copy and floods it to its own ports. The packet is encapsulated once; then each copy gets its outer header written
 * anew. That goes for the hosts whose outer header is of one family; before, those of the other one
 * and those behind WireGuard get theirs by way of the VXLAN device. */
#ifndef WEFT_REPLICATE_H
#define WEFT_REPLICATE_H

#include "encap.h"
#include "outer.h"
#include "packet.h"
#include "rewrite.h"

#define REPLICAS_MAX 1024 /* bounds the time that one packet may take */

struct replication {
	struct packet *packet;
	__u32 family; /* 4 or 6: of the headers that are pushed; 0: no host gets such */
	struct overlay_header header;
};

/* Of the host at a position in the list; 0: none is there, or it has no member of the group. */
static __noinline __u32 replica_tag(struct packet *packet, __u32 position)
{
	struct replica_key key = { .vni = packet->vni, .position = position };
	const struct replica *replica = bpf_map_lookup_elem(&replicas_v1, &key);

	if (!replica)
		return 0;
	packet->receiver = replica->tag;
	if (packet->skb->cb[FLOOD_TO_MEMBERS] &&
	    !bpf_map_lookup_elem(&group_hosts_v1, &packet->member))
		return 0;
	return replica->tag;
}

static __always_inline bool is_pushed(const struct tunnel *tunnel)
{
	return tunnel->ifindex &&
	       (tunnel->flags & TUNNEL_RELAY || !(tunnel->flags & TUNNEL_DEVICE));
}

static __always_inline __u32 family_of(const struct tunnel *tunnel)
{
	return is_outer_ipv6(tunnel) ? 6 : 4;
}

/* First round: the copies that the VXLAN device makes, and what header the others get. */
static long replicate_by_device(__u32 index, struct replication *replication)
{
	struct packet *packet = replication->packet;
	__u32 tag = replica_tag(packet, index);
	const struct tunnel *tunnel;

	if (!tag)
		return 0;
	tunnel = bpf_map_lookup_elem(&tunnels_v1, &tag);
	if (!tunnel) {
		drop(packet, DROP_NO_TUNNEL);
		return 0;
	}
	if (exceeds(packet, tunnel->mtu)) {
		drop(packet, DROP_TOO_BIG);
		return 0;
	}
	if (is_pushed(tunnel)) {
		if (!replication->family)
			replication->family = family_of(tunnel);
		if (replication->family == family_of(tunnel))
			return 0;
	}
	if (!weft.weftx_ifindex || tunnel->flags & TUNNEL_RELAY ||
	    set_tunnel(packet->skb, tunnel, packet->vni, replication->header.traffic_class) ||
	    bpf_clone_redirect(packet->skb, weft.weftx_ifindex, 0))
		drop(packet, DROP_NO_TUNNEL);
	return 0;
}

/* Second round: a new outer header, and a copy. The packet has grown, so its size is not asked for
 * again by `exceeds`. */
static long replicate_pushed(__u32 index, struct replication *replication)
{
	struct packet *packet = replication->packet;
	__u32 overhead = replication->family == 6 ? OUTER6_SIZE : OUTER4_SIZE;
	__u32 tag = replica_tag(packet, index);
	const struct tunnel *tunnel = bpf_map_lookup_elem(&tunnels_v1, &tag);

	if (!tunnel || !is_pushed(tunnel) || replication->family != family_of(tunnel) ||
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
		.header = {
			.vni = packet->vni,
			.traffic_class = traffic_class(packet),
			.hop_limit = OUTER_TTL,
			.source_port = flow_port(packet->skb),
		},
	};
	struct ethernet inner = inner_ethernet(packet);
	__u32 count = packet->skb->cb[FLOOD_REPLICAS];
	bool is_ipv6;
	__u32 size;

	count = count < REPLICAS_MAX ? count : REPLICAS_MAX;
	/* Verifiers older than Linux 6.7 follow what bpf_loop calls for one round only, and remove what
	 * that round cannot reach: it must not be known that there is no family yet. */
	*(volatile __u32 *)&packet->skb->cb[FLOOD_FAMILY] = 0;
	replication.family = *(volatile __u32 *)&packet->skb->cb[FLOOD_FAMILY];
	bpf_loop(count, replicate_by_device, &replication, 0);
	if (!replication.family)
		return;
	is_ipv6 = replication.family == 6;
	size = is_ipv6 ? OUTER6_SIZE : OUTER4_SIZE;
	if (make_room(packet, size,
		      is_ipv6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4) ||
	    bpf_skb_store_bytes(packet->skb, size, &inner, sizeof(inner), 0)) {
		drop(packet, DROP_KERNEL);
		return;
	}
	bpf_loop(count, replicate_pushed, &replication, 0);
}

#endif
