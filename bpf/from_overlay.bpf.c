// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* What the VXLAN device has unpacked: on its ingress. It comes from where no from_wire is, or from_wire
 * could not open or not relay it. */
#include "maps.h"
#include "lib/arrive.h"
#include "lib/encap.h"
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/probe.h"
#include "lib/too_big.h"

/* The outer header's source, and the VNI. */
static __always_inline int read_tunnel(struct packet *packet, struct address *source)
{
	struct bpf_tunnel_key key = {};

	if (!bpf_skb_get_tunnel_key(packet->skb, &key, sizeof(key), 0))
		*source = from_ipv4(bpf_htonl(key.remote_ipv4));
	else if (!bpf_skb_get_tunnel_key(packet->skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6))
		__builtin_memcpy(source, key.remote_ipv6, sizeof(*source));
	else
		return drop(packet, DROP_KERNEL);
	packet->vni = key.tunnel_id;
	return NEXT;
}

static __always_inline bool is_refused(const struct packet *packet)
{
	return (packet->skb->mark & MARK_MASK) == MARK_TOO_BIG;
}

/* The device unpacks what comes to any address of this host, from wherever. So only what was looked at
 * before counts, and of a host that must encrypt only what came out of WireGuard. */
static __always_inline int check_peer(struct packet *packet, const struct peer *peer)
{
	if (!peer || peer->tag == weft.host_tag)
		return drop(packet, DROP_UNKNOWN_PEER);
	if (peer->flags & PEER_REFUSED ||
	    (peer->flags & PEER_ENCRYPTED && packet->skb->mark != MARK_DECRYPTED &&
	     !is_refused(packet)))
		return drop(packet, DROP_UNENCRYPTED);
	if (!(peer->flags & PEER_ENCRYPTED) && packet->skb->mark != MARK_ARRIVED &&
	    !is_refused(packet))
		return drop(packet, DROP_UNKNOWN_PEER);
	return NEXT;
}

/* To a sender behind the host that this came from. from_wire has counted the packet. */
static __cold int answer_relayed(struct packet *packet, __u32 tag)
{
	const struct tunnel *tunnel = tunnel_to(tag);
	__u32 mtu = packet->skb->mark & ~MARK_MASK;

	packet->skb->mark = 0;
	if (!tunnel)
		return drop(packet, DROP_NO_TUNNEL);
	if (parse(packet) != NEXT || !answer_too_big(packet, mtu))
		return absorb();
	copy_mac(&packet->destination_mac, &packet->source_mac);
	copy_mac(&packet->source_mac, &gateway_mac);
	return send_by_tunnel(packet, tunnel);
}

SEC("tc")
int from_overlay(struct __sk_buff *skb)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };
	const struct peer *peer;
	struct address source;
	int verdict;

	if (skb->vlan_present)
		return drop(&packet, DROP_RESERVED);
	verdict = read_tunnel(&packet, &source);
	if (verdict != NEXT)
		return verdict;
	peer = bpf_map_lookup_elem(&peers_v1, &source);
	verdict = check_peer(&packet, peer);
	if (verdict != NEXT)
		return verdict;
	if (is_refused(&packet))
		return answer_relayed(&packet, peer->tag);
	skb->mark = 0;
	verdict = parse_ethernet(&packet);
	if (verdict != NEXT)
		return verdict;
	if (packet.vni == OVERLAY_PROBE_VNI)
		return handle_unpacked_probe(&packet, &source, peer->tag);
	verdict = arrive(&packet, NULL);
	if (verdict == JUDGE || verdict == COPIES)
		return judge_arrival(&packet, verdict);
	return verdict;
}

char program_license[] SEC("license") = "GPL";
