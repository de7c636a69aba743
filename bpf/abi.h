/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the kernel programs and weftd share: keys and values of the pinned maps, flags, drop
 * reasons. Python's layouts are generated from this file's BTF (src/weft/kernel/bpf/layouts.py).
 *
 * Every struct is free of implicit padding; spare bytes are zero. A change of a layout is a new
 * map name (_v2), never an edit in place, and for a map that programs write a converter
 * (src/weft/kernel/bpf/handover.py). But a spare field may get a meaning where zero means what it
 * meant. Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2). Numbers
 * are in host order unless named _be.
 */
#ifndef WEFT_ABI_H
#define WEFT_ABI_H

#if __clang_major__ < 14
#error "Weft's programs need clang 14 or newer: CLANG=clang-19 make -C bpf"
#endif

#include <linux/types.h>

/* Octets of the MAC of every gateway on every host. */
#define WEFT_GATEWAY_MAC 0x0a, 0x57, 0x45, 0x46, 0x54, 0x01

/* Both are octets as on the wire, in words so that the compiler copies and compares fast. */
struct mac {
	__u16 words_be[3];
};

struct address {
	__u32 words_be[4];
};

/* Devices that Weft makes have an ifindex of this range, so that an array can have them by a number of
 * its own, their berth: how far the ifindex is behind the first. Other devices have no berth: those of
 * others, those made before there was the range, and those for which it was full. */
enum berth {
	FIRST_IFINDEX = 0x570000,
	BERTHS = 16384, /* half as many again as the ports that a host is measured with */
};

/* ports_v2: berth -> the sender behind the device; other_ports_v1: ifindex of the host's end -> . A port
 * that goes is zeroed while packets of its own are on their way, so zero is always the stricter; of
 * PORT_JUDGED it is not, but that is in one double word with the VNI, and goes with it. */
enum port_flag {
	PORT_ANY_SOURCE = 1 << 0, /* sources need not be the port's own, or in allowed_v1 */
	PORT_OUTSIDE = 1 << 1,	  /* its network has a way to the outside */
	PORT_JUDGED = 1 << 2,	  /* rules say what it may send and get, see port_rules_v1 */
	PORT_ADVERTISED = 1 << 3, /* weftd tells it of routers, also when it asks */
};

struct port {
	__u32 vni;   /* 0: no port */
	__u32 flags; /* enum port_flag */
	struct mac mac;
	__u16 mtu;
	__u32 slot;
	struct address ipv4; /* first address of the family; all zero: none */
	struct address ipv6;
	__u32 rules; /* with PORT_JUDGED: its row of port_rules_v1 */
	__u8 spare[8];
};

/* addresses_v1: (VNI, address) -> where it lives. */
struct address_key {
	__u32 vni;
	struct address address;
};

enum endpoint_flag {
	ENDPOINT_GATEWAY = 1 << 0,  /* the subnet's gateway, or a router: answered here */
	ENDPOINT_HOST = 1 << 1,	    /* the host's own place: deliver to weft0 */
	ENDPOINT_REDIRECT = 1 << 2, /* by way of the device's egress: a tap, or a veth whose peer
				     * is in the host's namespace */
	ENDPOINT_JUDGED = 1 << 3,   /* a local port with PORT_JUDGED */
};

struct endpoint {
	__u32 ifindex; /* local port; 0: see flags (and, for another host, tunnel) */
	__u32 flags;   /* enum endpoint_flag */
	struct mac mac;
	__u8 spare0[2];
	__u32 tunnel; /* tag of the host that it lives on; 0: this one */
	__u32 group;  /* identity, see identities_v1; 0: it is in no group */
	__u32 way;    /* where tunnels_v2 has the way to that host */
	__u8 spare[4];
};

/* macs_v1: (VNI, MAC) -> endpoint, the same value as addresses_v1 */
struct mac_key {
	__u32 vni;
	struct mac mac;
	__u8 spare[2];
};

/* macs_edition_v1, routes_edition_v1: 0 -> a number that weftd raises before and after each change of macs_v1,
 * or of a map that ways are made from: it is odd while that is going on. */
struct edition {
	__u32 number;
	__u8 spare[4];
};

/* networks_v1: VNI -> */
enum network_flag {
	NETWORK_INTERNAL = 1 << 0,
	NETWORK_HAS_UNKNOWN = 1 << 1, /* flood ARP and ND for unknown addresses */
	NETWORK_SNOOPS = 1 << 2,      /* multicast goes to members alone, see multicast_groups_v1 */
	NETWORK_JUDGES = 1 << 3,      /* some of its ports here have FLOOD_JUDGED */
};

struct network {
	__u32 flags; /* enum network_flag */
	__u32 slot_count;
	__u8 spare[24];
};

/* flood_v1: (VNI, slot) -> */
struct flood_key {
	__u32 vni;
	__u32 slot;
};

enum flood_flag {
	FLOOD_JUDGED = 1 << 0, /* the port has PORT_JUDGED */
};

struct flood {
	__u32 ifindex;
	__u32 flags; /* enum flood_flag */
	__u8 spare[8];
};

/* replicas_v2: (VNI, tag of a host, 0 for the start) -> the next host that gets what is flooded */
struct replica_key {
	__u32 vni;
	__u32 after;
};

struct replica {
	__u32 tag;
	__u8 spare[12];
};

/* multicast_groups_v1: (VNI, multicast address) -> a group that somebody has joined */
enum multicast_flag {
	MULTICAST_FLOODED = 1 << 0, /* all ports of the network are members */
};

struct multicast_key {
	__u32 vni;
	struct address address;
};

struct multicast_group {
	__u32 flags; /* enum multicast_flag */
	__u8 spare[12];
};

/* multicast_ports_v1: (VNI, multicast address, slot) -> struct flood, as in flood_v1;
 * multicast_hosts_v1: (VNI, multicast address, tag) -> struct replica, which says the tag again */
struct member_key {
	__u32 vni;
	struct address address;
	__u32 member; /* slot of a port, or tag of a host */
};

/* ways_v1: tag of another host -> where tunnels_v2 has the way there */
enum ways {
	WAYS = 16384, /* ten times the hosts that a mesh is made for; the first is nobody's */
};

struct way {
	__u32 way;
	__u8 spare[4];
};

/* tunnels_v2: way -> . What is at `remote` unpacks, or passes on. An endpoint may name a way that was
 * another host's in the meantime, so who goes it compares the tag. */
enum tunnel_flag {
	TUNNEL_DEVICE = 1 << 0,	   /* weftx encapsulates: the next hop is not known, or a setting */
	TUNNEL_IPV6 = 1 << 1,	   /* of the outer header */
	TUNNEL_RELAY = 1 << 2,	   /* remote is a relay, which needs destination_tag */
	TUNNEL_ENCRYPTED = 1 << 3, /* through WireGuard's device, which takes IP without Ethernet */
};

struct tunnel {
	__u32 ifindex; /* of the underlay device; 0: none leads there */
	__u32 flags;   /* enum tunnel_flag */
	__u8 spare0[2];
	struct mac next_hop; /* from here on the outer Ethernet header as it is */
	struct mac source_mac;
	__u16 type_be;
	struct address local;  /* outer source; all zero with TUNNEL_DEVICE: the kernel's choice */
	struct address remote; /* outer destination: the host's, or the relay's */
	__u32 tag;	       /* of the host to which this leads; 0: there is none */
	__u32 destination_tag; /* with TUNNEL_RELAY */
	__u32 sum;	       /* of what no packet changes in an outer IPv4 header, RFC 1071 */
	__u16 mtu;	       /* the largest inner IP packet */
	__u8 spare1[2];
	__u32 used; /* by programs: another number a few seconds later, if packets went then */
	__u8 spare2[4];
} __attribute__((aligned(8)));

/* peers_v1: outer source -> the host that sends from it. This host's own addresses are here, too,
 * with its own tag: VXLAN is ours when it is sent to one of them, and forged when it comes from one.
 */
enum peer_flag {
	PEER_ENCRYPTED = 1 << 0, /* address inside WireGuard: never taken off an underlay device */
	PEER_REFUSED = 1 << 1,	 /* plain address of a host that must encrypt: never taken */
};

struct peer {
	__u32 tag;
	__u32 flags; /* enum peer_flag */
	__u8 spare[24];
};

/* own_addresses_v1: 0 -> addresses of this host, as in peers_v1, the unused ones zero. If none is, there
 * may be more in peers_v1. */
enum own {
	OWN_ADDRESSES =
		4, /* of the underlay in both families, the one inside WireGuard, and one more */
};

struct own_addresses {
	struct address addresses[OWN_ADDRESSES];
};

/* probes_v1 (LRU): (tag of who answered, slot) -> the last answer. */
struct probe_key {
	__u32 tag;
	__u32 slot; /* below OVERLAY_PROBE_SLOTS */
};

struct probe {
	__u64 nonce;	  /* as in the request */
	__u64 arrival_ns; /* CLOCK_MONOTONIC */
	__u32 size;	  /* of the answer's outer IP packet */
	__u8 spare[12];
};

/* What follows the VXLAN header on OVERLAY_PROBE_VNI: an Ethernet frame, so that network cards which
 * look inside find one. Padded to the size that is probed; the answer has that size too. */
enum overlay {
	OVERLAY_PROBE_VNI = 1,
	OVERLAY_PROBE_TYPE = 0x88b5, /* IEEE 802: local experimental ethertype 1 */
	OVERLAY_PROBE_MAGIC = 0x77656674,
	OVERLAY_PROBE_REQUEST = 1,
	OVERLAY_PROBE_ANSWER = 2,
	OVERLAY_PROBE_SLOTS = 64,
};

struct probe_message {
	struct mac destination; /* any */
	struct mac source;
	__u16 type_be;
	__u16 kind_be;
	__u32 magic_be;
	__u32 tag_be; /* of the host that asks */
	__u32 slot_be;
	__u8 nonce[8];
};

/* answers_v1 (LRU): ifindex that the packet came by -> how many ICMP errors may still be sent;
 * reports_v1 (LRU): likewise -> how many reports of groups weftd may still be given
 * queries_v1 (LRU): likewise -> how many DNS queries */
struct answer_limit {
	__u64 refilled_ns;
	__u32 tokens;
	__u32 spare;
};

/* allowed_v1 (LPM): (ifindex, prefix) -> ; prefixlen counts from the start of ifindex */
struct allowed_key {
	__u32 prefixlen; /* 32 + bits of the 128-bit form */
	__u32 ifindex;
	struct address address;
};

struct allowed {
	struct mac mac; /* all zero: the port's own */
	__u8 spare[10];
};

/* subnets_v1 (LPM): (VNI, prefix) -> */
struct subnet_key {
	__u32 prefixlen; /* 32 + bits of the 128-bit form */
	__u32 vni;
	struct address address;
};

struct subnet {
	struct address gateway; /* all zero: none */
	__u32 table_high;	/* of the router that is its gateway; both halves 0: none is */
	__u32 table_low;
	__u32 flags; /* enum table_flag */
	__u8 spare[4];
};

/* host_prefixes_v1 (LPM): prefix -> the network to which the host sends it */
struct host_prefix_key {
	__u32 prefixlen; /* bits of the 128-bit form */
	struct address address;
};

struct host_prefix {
	__u32 vni;
	__u8 spare[12];
};

/* resolvers_v1: address of a resolver of the host -> */
struct resolver {
	__u8 spare[8];
};

/* dns_flows_v1 (LRU): a query on its way to weftd -> what it looked like.
 * weftd sees it come from WEFT_ALIAS | ifindex, so it knows the asker even where networks overlap. */
struct dns_flow_key {
	__u32 ifindex;
	__u16 port_be;
	__u8 protocol;
	__u8 family; /* 4 or 6 */
};

struct dns_flow {
	struct address client;
	struct address resolver;
	struct mac mac;
	__u8 spare[10];
};

/* The same as in src/weft/model/service_addresses.py; a test compares them. */
enum service_address {
	WEFT_DNS4 = 0xa9fe3535u,	 /* 169.254.53.53: weftd's DNS server, on weft0 */
	WEFT_ALIAS4 = 0xf0000000u,	 /* 240.0.0.0/4 | ifindex: a port, as the host sees it */
	WEFT_ALIAS4_MASK = 0xf0000000u,	 /* of the prefix */
	WEFT_PREFIX6_HIGH = 0xfd776566u, /* fd77:6566:7400::/48; ::53 in it is the DNS server, */
	WEFT_PREFIX6_LOW = 0x74000000u,	 /* and :1::IFINDEX is a port */
	WEFT_DNS6_LAST = 0x53u,
	WEFT_DNS_PORT = 335, /* that weftd's DNS server listens on */
};

/* drops_v1 (per CPU): (ifindex that the packet came by, reason) -> how many */
enum drop_reason {
	DROP_NONE = 0,
	DROP_MALFORMED,		/* headers that do not parse or do not fit the packet */
	DROP_SPOOFED_MAC,	/* source MAC is not the port's */
	DROP_SPOOFED_ADDRESS,	/* source IP, ARP or ND sender is not the port's */
	DROP_UNKNOWN_MAC,	/* no port with this destination MAC on the network */
	DROP_UNKNOWN_ADDRESS,	/* no such address in a subnet of the network */
	DROP_UNKNOWN_NEIGHBOUR, /* ARP or ND for an address that nobody has */
	DROP_ISOLATED,		/* the destination is in another network */
	DROP_INTERNAL,		/* to the outside from an internal network */
	DROP_TTL,		/* hop limit ran out */
	DROP_NO_ROUTE,		/* no network or no gateway leads there */
	DROP_RESERVED,		/* ethertype or address that no workload may use (VLAN, own RA) */
	DROP_KERNEL,		/* a kernel helper refused (redirect, resize) */
	DROP_TOO_BIG,		/* larger than the MTU of the sender's network */
	DROP_NO_PORT,		/* the device is no port (yet) */
	DROP_UNKNOWN_PEER,	/* VXLAN that comes from no host of the cluster */
	DROP_UNKNOWN_VNI,	/* VXLAN of a network that has no port here */
	DROP_UNENCRYPTED,	/* plain VXLAN from a host that must encrypt */
	DROP_NO_TUNNEL,		/* no way to the host where the destination is */
	DROP_FRAGMENT,		/* VXLAN in pieces, or with IP options */
	DROP_CONGESTION,    /* marked on its way, for a receiver that knows no marks (RFC 6040) */
	DROP_NO_MEMBER,	    /* to a multicast group that nobody has joined */
	DROP_TOO_MANY,	    /* reports of groups or DNS queries, faster than weftd takes them */
	DROP_POLICY,	    /* denied by a rule, or by the lack of one */
	DROP_NO_FLOW,	    /* TCP of no connection that is known, on a strict network */
	DROP_FRAGMENT_LOST, /* a later fragment whose first one has not been seen */
	DROP_FLOWS_FULL,    /* begins a connection that a strict network has no room to remember */
	DROP_REASONS = 40,  /* room */
};

struct drop_key {
	__u32 ifindex;
	__u32 reason; /* enum drop_reason */
};

struct drop_count {
	__u64 packets;
};

/* counters_v2 (per CPU): berth -> ; other_counters_v1: ifindex -> ; the workload's view: rx = what it
 * received */
struct counters {
	__u64 rx_packets;
	__u64 rx_bytes;
	__u64 tx_packets;
	__u64 tx_bytes;
};

/* lost_events_v1 (per CPU): 0 -> events that found no room in events_v1 */
struct lost_events {
	__u64 events;
};

#include "abi_rules.h"
#include "abi_flows.h"
#include "abi_routes.h"

/* What the loader sets once per host, in .rodata.weft of every program. */
struct constants {
	__u32 weft0_ifindex; /* the host's end: what goes to the host is put on its ingress */
	__u32 weft1_ifindex; /* the inner end: from_host is on its ingress */
	struct mac weft0_mac;
	__u16 overlay_port;	 /* UDP port of VXLAN */
	__u32 host_tag;		 /* this host's */
	__u32 weftx_ifindex;	 /* the VXLAN device; 0: there is none */
	__u32 wireguard_ifindex; /* 0: there is none */
	__u32 query_every_ns;	 /* between two DNS queries of a port, on average; 0: as it likes */
	__u8 has_decap_l3;	 /* bpf_skb_adjust_room knows BPF_F_ADJ_ROOM_DECAP_L3_* */
	__u8 peer_resets_type;	 /* bpf_redirect_peer makes a packet one for this host */
	__u8 spare0[2];
	__u32 jiffies_per_s;
	__u32 tcp_new_s; /* how long flows live without a packet, see flow_state.h */
	__u32 tcp_established_s;
	__u32 tcp_closing_s;
	__u32 tcp_closed_s;
	__u32 udp_new_s;
	__u32 udp_established_s;
	__u32 icmp_s;
	__u32 other_s;
	__u32 denied_s;
	__u32 flows_of_port; /* entries that may count for one */
	__u8 build[16];	     /* digest of the object file and of the fields above */
};

/* What weft0 gets when a port reports its groups, or looks for routers: the packet as it was, behind an
 * Ethernet header whose source is REPORT_MAC_HIGH and the port's ifindex. */
enum report {
	REPORT_TYPE = 0x88b6,	    /* IEEE 802: local experimental ethertype 2 */
	SOLICITATION_TYPE = 0x88b5, /* likewise, 1 */
	REPORT_MAC_HIGH = 0x0257,
};

/* skb->mark on both sides of the VXLAN device. What arrives without one of the first three has not been
 * looked at, and is not believed; what would leave for the overlay's port without the last one is not
 * Weft's. Nobody sets a mark who has not CAP_NET_RAW or CAP_NET_ADMIN in the host's own namespace. */
enum mark {
	MARK_DECRYPTED = 0x77660000, /* it came by WireGuard */
	MARK_TOO_BIG = 0x77650000,   /* not to be relayed; the lower half is the MTU */
	MARK_ARRIVED = 0x77640000,   /* from another host's address to one of this host's */
	MARK_SENT = 0x77630000,	     /* of a program here, or weftd's probe */
	MARK_MASK = 0xffff0000,
};

/* skb->cb[]: nothing in the kernel reads it. The first two are of a packet that a program has decided
 * on, for tests and traces. The others are of one that is flooded or refused: what goes this way the
 * verifier does not follow, which else walks through all that comes behind once for each case. */
enum trace {
	TRACE_TARGET = 0,     /* ifindex that it was redirected to; 0: none */
	TRACE_REASON = 1,     /* enum drop_reason */
	FLOOD_TO_MEMBERS = 2, /* of the group, not to everybody */
	FLOOD_FAMILY = 3,     /* see replicate.h */
	REFUSAL = 4,	      /* why a packet does not go on, see icmp_error.h */
	TRACE_TRIAL =
		4, /* before: TRIAL if the packet is a made one, which no flow is to know of */
};

enum trial {
	TRIAL = 0x77656674,
};

#endif
