// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* VXLAN between two hosts and nothing else: what no program at traffic control that encapsulates
 * can be faster than. Addresses are compiled in; whatever is not IPv4 between the two is dropped.
 *
 * from_port: ingress of the host's end of the workload's veth; adds the header
 * from_wire: ingress of the cable to the other host; takes it off
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum { VXLAN_PORT = 4789, VNI = 77, TTL = 64, GROWTH = 50, DONT_FRAGMENT = 0x4000 };

struct outer {
	struct ethhdr link;
	struct iphdr ip;
	struct udphdr udp;
	__be32 vxlan[2];
	struct ethhdr inner;
} __attribute__((packed));

static __always_inline __u16 header_checksum(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16));
}

SEC("tc")
int from_port(struct __sk_buff *skb)
{
	const __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 |
			    BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN) |
			    BPF_F_ADJ_ROOM_ENCAP_L2_ETH;
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.ttl = TTL,
		.protocol = IPPROTO_UDP,
		.frag_off = bpf_htons(DONT_FRAGMENT),
		.saddr = bpf_htonl(LOCAL_ADDRESS),
		.daddr = bpf_htonl(REMOTE_ADDRESS),
	};
	struct outer outer = {
		.link = { .h_dest = { REMOTE_MAC },
			  .h_source = { LOCAL_MAC },
			  .h_proto = bpf_htons(ETH_P_IP) },
		.udp = { .dest = bpf_htons(VXLAN_PORT) },
		.vxlan = { bpf_htonl(1u << 27), bpf_htonl(VNI << 8) },
	};

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_SHOT;
	if (bpf_skb_load_bytes(skb, 0, &outer.inner, sizeof(outer.inner)))
		return TC_ACT_SHOT;
	ip.tot_len = bpf_htons(skb->len + GROWTH - ETH_HLEN);
	ip.check = header_checksum(&ip);
	outer.ip = ip;
	outer.udp.len = bpf_htons(skb->len + GROWTH - ETH_HLEN - sizeof(outer.ip));
	outer.udp.source = bpf_htons(0xc000 | (bpf_get_hash_recalc(skb) & 0x3fff));
	if (bpf_skb_adjust_room(skb, GROWTH, BPF_ADJ_ROOM_MAC, flags))
		return TC_ACT_SHOT;
	if (bpf_skb_store_bytes(skb, 0, &outer, sizeof(outer), 0))
		return TC_ACT_SHOT;
	return bpf_redirect(CABLE_IFINDEX, 0);
}

SEC("tc")
int from_wire(struct __sk_buff *skb)
{
	struct outer outer;

	if (bpf_skb_load_bytes(skb, 0, &outer, sizeof(outer)))
		return TC_ACT_OK;
	if (outer.link.h_proto != bpf_htons(ETH_P_IP) || outer.ip.protocol != IPPROTO_UDP ||
	    outer.udp.dest != bpf_htons(VXLAN_PORT))
		return TC_ACT_OK;
	if (bpf_skb_adjust_room(skb, -GROWTH, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return TC_ACT_SHOT;
	if (bpf_skb_store_bytes(skb, 0, &outer.inner, sizeof(outer.inner), 0))
		return TC_ACT_SHOT;
	return bpf_redirect_peer(WORKLOAD_IFINDEX, 0);
}

char program_license[] SEC("license") = "GPL";
