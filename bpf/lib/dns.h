/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* DNS without flags: a query to a resolver of the host, or to a gateway, becomes one to weftd's
 * server, from an alias that names the port; the answer is turned back. The kernel's own TCP and
 * UDP do the rest. While nobody serves (weftd is down), a query to a resolver goes on its own way.
 *
 * The server does not listen on port 53, so that the host's own port 53 is free for whoever wants it on
 * all addresses (a published port, a resolver). */
#ifndef WEFT_DNS_H
#define WEFT_DNS_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "deliver.h"
#include "limit.h"
#include "packet.h"
#include "parse.h"
#include "port.h"
#include "router.h"
#include "server_address.h"
#include "tcp.h"

#define SERVER_PORT bpf_htons(WEFT_DNS_PORT)
#define SECOND_NS   1000000000

#define CHECKSUM_OF(protocol)                                       \
	((protocol) == IPPROTO_UDP ? offsetof(struct udphdr, check) \
				   : offsetof(struct tcphdr, check))

static __always_inline struct address alias_of(__u32 ifindex, bool is_ipv4)
{
	if (is_ipv4)
		return from_ipv4(bpf_htonl(WEFT_ALIAS4 | ifindex));
	return (struct address){ {
		bpf_htonl(WEFT_PREFIX6_HIGH),
		bpf_htonl(WEFT_PREFIX6_LOW | 1),
		0,
		bpf_htonl(ifindex),
	} };
}

/* The port that an alias names; 0: it is none. */
static __always_inline __u32 port_of_alias(const struct address *address)
{
	__u32 last = bpf_ntohl(address->words_be[3]);

	if (is_mapped(address))
		return (last & WEFT_ALIAS4_MASK) == WEFT_ALIAS4 ? last & ~WEFT_ALIAS4_MASK : 0;
	return address->words_be[0] == bpf_htonl(WEFT_PREFIX6_HIGH) &&
			       address->words_be[1] == bpf_htonl(WEFT_PREFIX6_LOW | 1) &&
			       !address->words_be[2]
		       ? last
		       : 0;
}

/* Source and destination port of TCP or UDP; false for anything else and for fragments. */
static __always_inline bool load_ports(struct packet *packet, __be16 ports[2])
{
	__u32 size =
		packet->protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);

	if ((packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP) ||
	    packet->is_fragment || packet->l4 + size > packet->end)
		return false;
	return !bpf_skb_load_bytes(packet->skb, packet->l4, ports, 4);
}

static __always_inline int rewrite4(struct packet *packet, const struct address *source,
				    const struct address *destination)
{
	__be32 from[2] = { packet->source.words_be[3], packet->destination.words_be[3] };
	__be32 to[2] = { source->words_be[3], destination->words_be[3] };
	__u32 checksum = packet->l4 + CHECKSUM_OF(packet->protocol);
	__u64 flags =
		BPF_F_PSEUDO_HDR | (packet->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0);
	__s64 difference = bpf_csum_diff(from, sizeof(from), to, sizeof(to), 0);

	return bpf_l4_csum_replace(packet->skb, checksum, 0, difference, flags) ||
	       bpf_l3_csum_replace(packet->skb, ETH_HLEN + offsetof(struct iphdr, check), 0,
				   difference, 0) ||
	       bpf_skb_store_bytes(packet->skb, ETH_HLEN + offsetof(struct iphdr, saddr), to,
				   sizeof(to), 0);
}

static __always_inline int rewrite6(struct packet *packet, const struct address *source,
				    const struct address *destination)
{
	struct address from[2] = { packet->source, packet->destination };
	struct address to[2] = { *source, *destination };
	__u32 checksum = packet->l4 + CHECKSUM_OF(packet->protocol);
	__u64 flags =
		BPF_F_PSEUDO_HDR | (packet->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0);
	__s64 difference = bpf_csum_diff((__be32 *)from, sizeof(from), (__be32 *)to, sizeof(to), 0);

	return bpf_l4_csum_replace(packet->skb, checksum, 0, difference, flags) ||
	       bpf_skb_store_bytes(packet->skb, ETH_HLEN + offsetof(struct ipv6hdr, saddr), to,
				   sizeof(to), 0);
}

static __always_inline int rewrite_addresses(struct packet *packet, const struct address *source,
					     const struct address *destination)
{
	if (packet->ethertype == bpf_htons(ETH_P_IP))
		return rewrite4(packet, source, destination);
	return rewrite6(packet, source, destination);
}

/* One of the two ports; `at`: where it is in the header, of TCP and of UDP alike. */
static __always_inline int rewrite_port(struct packet *packet, __u32 at, __be16 from, __be16 to)
{
	__u64 flags = sizeof(to) | (packet->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0);

	return bpf_l4_csum_replace(packet->skb, packet->l4 + CHECKSUM_OF(packet->protocol), from,
				   to, flags) ||
	       bpf_skb_store_bytes(packet->skb, packet->l4 + at, &to, sizeof(to), 0);
}

/* Whether weftd can be given one more: so many a second of each port, or the port that asks without
 * end would keep all others from being answered. Of a TCP connection its beginning counts. */
static __always_inline bool is_query_within(struct packet *packet)
{
	__u8 flags;

	if (!weft.query_every_ns)
		return true;
	if (packet->protocol == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(packet->skb, packet->l4 + TCP_FLAGS_AT, &flags,
				       sizeof(flags)))
			return false;
		if ((flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
			return true;
	}
	return is_within(&queries_v1, packet->ifindex, SECOND_NS / weft.query_every_ns,
			 weft.query_every_ns);
}

/* One write a flow: a TCP connection does not write for each of its segments. */
static __always_inline int remember(const struct dns_flow_key *key, const struct dns_flow *flow)
{
	const struct dns_flow *known = bpf_map_lookup_elem(&dns_flows_v1, key);

	if (known && is_same_address(&known->client, &flow->client) &&
	    is_same_address(&known->resolver, &flow->resolver) &&
	    is_same_mac(&known->mac, &flow->mac))
		return 0;
	return bpf_map_update_elem(&dns_flows_v1, key, flow, BPF_ANY);
}

/* Whether a socket of the host would take it: weftd's server, or a connection to it. */
static __noinline bool is_served(struct packet *packet, __be16 source_port)
{
	bool is_ipv4 = packet->ethertype == bpf_htons(ETH_P_IP);
	struct address source = alias_of(packet->ifindex, is_ipv4);
	struct address server = server_address(is_ipv4);
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;
	__u32 size;

	if (is_ipv4) {
		tuple.ipv4.saddr = source.words_be[3];
		tuple.ipv4.daddr = server.words_be[3];
		tuple.ipv4.sport = source_port;
		tuple.ipv4.dport = SERVER_PORT;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, &source, sizeof(source));
		__builtin_memcpy(tuple.ipv6.daddr, &server, sizeof(server));
		tuple.ipv6.sport = source_port;
		tuple.ipv6.dport = SERVER_PORT;
		size = sizeof(tuple.ipv6);
	}
	if (packet->protocol == IPPROTO_UDP)
		socket = bpf_sk_lookup_udp(packet->skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else /* connections that are just beginning or ending are sockets, too */
		socket = bpf_skc_lookup_tcp(packet->skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return false;
	bpf_sk_release(socket);
	return true;
}

static __always_inline int redirect_query(struct packet *packet, __be16 source_port)
{
	bool is_ipv4 = packet->ethertype == bpf_htons(ETH_P_IP);
	struct address source = alias_of(packet->ifindex, is_ipv4);
	struct address server = server_address(is_ipv4);
	struct dns_flow_key key = {
		.ifindex = packet->ifindex,
		.port_be = source_port,
		.protocol = packet->protocol,
		.family = is_ipv4 ? 4 : 6,
	};
	struct dns_flow flow = {
		.client = packet->source,
		.resolver = packet->destination,
		.mac = packet->source_mac,
	};

	if (!is_query_within(packet))
		return drop(packet, DROP_TOO_MANY);
	if (remember(&key, &flow) || rewrite_addresses(packet, &source, &server) ||
	    rewrite_port(packet, offsetof(struct udphdr, dest), DNS_PORT, SERVER_PORT))
		return drop(packet, DROP_KERNEL);
	return put_on_weft0(packet);
}

/* To weftd's server, as packets of the host's own network are sent. */
__stage int send_query(struct __sk_buff *skb)
{
	struct packet packet = { .skb = skb, .ifindex = skb->ifindex };
	struct routing *routing = routing_of(skb);
	__be16 ports[2];

	if (!routing || parse(&packet) != NEXT)
		return drop(&packet, DROP_MALFORMED);
	forget_kind(&packet, routing);
	if (!load_ports(&packet, ports))
		return drop(&packet, DROP_MALFORMED);
	return redirect_query(&packet, ports[0]);
}

/* from_port: takes queries, lets everything else go on. */
static __always_inline int handle_query(struct packet *packet, bool is_to_gateway)
{
	__be16 ports[2];

	if (!load_ports(packet, ports) || ports[1] != DNS_PORT)
		return NEXT;
	if (!is_to_gateway) {
		struct address server = server_address(packet->ethertype == bpf_htons(ETH_P_IP));

		if (!is_same_address(&packet->destination, &server) &&
		    (!bpf_map_lookup_elem(&resolvers_v1, &packet->destination) ||
		     !is_served(packet, ports[0])))
			return NEXT;
	}
	return QUERY;
}

static __noinline int send_answer(struct packet *packet, __u32 ifindex)
{
	struct address server = server_address(packet->ethertype == bpf_htons(ETH_P_IP));
	struct dns_flow_key key = {
		.ifindex = ifindex,
		.protocol = packet->protocol,
		.family = packet->ethertype == bpf_htons(ETH_P_IP) ? 4 : 6,
	};
	const struct dns_flow *known;
	struct endpoint endpoint = {};
	struct dns_flow flow;
	struct mac macs[2];
	__be16 ports[2];

	if (!is_same_address(&packet->source, &server) || !load_ports(packet, ports) ||
	    ports[0] != SERVER_PORT)
		return drop(packet, DROP_RESERVED);
	key.port_be = ports[1];
	known = bpf_map_lookup_elem(&dns_flows_v1, &key);
	if (!known || !port_of(ifindex))
		return drop(packet, DROP_UNKNOWN_ADDRESS);
	flow = *known;
	macs[0] = flow.mac;
	macs[1] = gateway_mac;
	if (rewrite_addresses(packet, &flow.resolver, &flow.client) ||
	    rewrite_port(packet, offsetof(struct udphdr, source), SERVER_PORT, DNS_PORT) ||
	    bpf_skb_store_bytes(packet->skb, 0, macs, sizeof(macs), 0))
		return drop(packet, DROP_KERNEL);
	endpoint.ifindex = key.ifindex;
	return deliver_to_port(packet, &endpoint);
}

/* from_host: takes what is sent to an alias. */
static __always_inline int handle_answer(struct packet *packet)
{
	__u32 ifindex = port_of_alias(&packet->destination);

	return ifindex ? send_answer(packet, ifindex) : NEXT;
}

#endif
