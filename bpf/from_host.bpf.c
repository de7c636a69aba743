// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* What the host sends into its networks: on the ingress of weft1, the inner end of weft0. The host
 * has routed it, so its hop limit is right and no MAC on it means anything yet. */
#include "maps.h"
#include "lib/count.h"
#include "lib/dns.h"
#include "lib/ask.h"
#include "lib/encap.h"
#include "lib/flow.h"
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/route.h"

static __always_inline int into_network(struct packet *packet)
{
	const struct host_prefix *prefix = host_prefix_of(&packet->destination);
	const struct endpoint *endpoint;

	if (!prefix)
		return drop(packet, DROP_NO_ROUTE);
	packet->vni = prefix->vni;
	endpoint = bpf_map_lookup_elem(&addresses_v1, &packet->place);
	if (!endpoint || endpoint->flags & ENDPOINT_GATEWAY ||
	    (endpoint->flags & ENDPOINT_HOST && !endpoint->tunnel))
		return drop(packet, DROP_UNKNOWN_ADDRESS);
	if (!endpoint->ifindex)
		return send_to_host(packet, endpoint, true);
	if (must_ask(packet, endpoint))
		return ask(packet, FLOW_ENTERS);
	return send_to_port(packet, endpoint);
}

/* To a port that the rules have let it in to. */
__stage int admit_from_host(struct __sk_buff *skb, __u32 vni)
{
	struct packet packet = {
		.skb = skb,
		.ifindex = skb->ifindex,
		.vni = vni,
		.is_judged = true,
	};
	const struct endpoint *endpoint;
	int verdict = parse(&packet);

	if (verdict != NEXT)
		return verdict;
	endpoint = bpf_map_lookup_elem(&addresses_v1, &packet.place);
	if (!endpoint || !endpoint->ifindex)
		return drop(&packet, DROP_UNKNOWN_ADDRESS);
	return send_to_port(&packet, endpoint);
}

static __always_inline int judge_from_host(struct __sk_buff *skb, __u32 vni)
{
	int verdict = track(skb);

	return verdict == NEXT ? admit_from_host(skb, vni) : verdict;
}

SEC("tc")
int from_host(struct __sk_buff *skb)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };
	int verdict;

	skb->cb[TRACE_TARGET] = 0;
	skb->cb[TRACE_REASON] = DROP_NONE;
	count_sent(skb);
	if (skb->vlan_present)
		return drop(&packet, DROP_RESERVED);
	verdict = parse(&packet);
	if (verdict != NEXT)
		return verdict;
	if (!is_ip(&packet))
		return drop(&packet, DROP_RESERVED);
	verdict = handle_answer(&packet);
	if (verdict == NEXT)
		verdict = into_network(&packet);
	if (verdict == JUDGE)
		return judge_from_host(skb, packet.vni);
	return verdict == REFUSED ? tell_sender(skb, packet.vni) : verdict;
}

char program_license[] SEC("license") = "GPL";
