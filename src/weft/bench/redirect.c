// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Hands every packet to the other workload and does nothing else: what no program at traffic
 * control can be faster than. TARGET is the ifindex of the other port's end on the host.
 * KERNEL_CHANGES_TYPE: the kernel makes the packet the receiver's by itself. */
#include <linux/bpf.h>
#include <linux/if_packet.h>

#include <bpf/bpf_helpers.h>

SEC("tc")
int from_port(struct __sk_buff *skb)
{
#ifndef KERNEL_CHANGES_TYPE
	if (skb->pkt_type != PACKET_HOST && bpf_skb_change_type(skb, PACKET_HOST))
		return 2; /* TC_ACT_SHOT */
#endif
	return bpf_redirect_peer(TARGET, 0);
}

char program_license[] SEC("license") = "GPL";
