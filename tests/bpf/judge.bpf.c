// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Asks what rules say about what stands behind the Ethernet header of a packet, for test_judge.py. */
#include "../../bpf/maps.h"
#include "../../bpf/lib/judge.h"

struct question {
	__u32 row;
	__u32 direction;
	__u32 point;
	__u32 vni;
	struct address remote;
	__u8 protocol;
	__u8 is_ipv4;
	__u8 may_be_host;
	__u8 may_be_dns;
	__be16 source_port;
	__u8 padding[2];
};

SEC("tc")
int ask_judge(struct __sk_buff *skb)
{
	struct inquiry *inquiry;
	struct question question;

	skb->cb[TRACE_TRIAL] = 0;
	inquiry = inquiry_of(skb);
	if (!inquiry || bpf_skb_load_bytes(skb, ETH_HLEN, &question, sizeof(question)))
		return -1;
	inquiry->row = question.row;
	inquiry->direction = question.direction;
	inquiry->point = question.point;
	inquiry->remote.vni = question.vni;
	inquiry->remote.address = question.remote;
	inquiry->protocol = question.protocol;
	inquiry->is_ipv4 = question.is_ipv4;
	inquiry->may_be_host = question.may_be_host;
	inquiry->may_be_dns = question.may_be_dns;
	inquiry->vni = question.vni;
	inquiry->first_source_port = question.source_port;
	judge(skb);
	return inquiry->action << BEST_ACTION_SHIFT | inquiry->rule;
}

char program_license[] SEC("license") = "GPL";
