/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the rules of a port say about one direction, one remote address and one point of the line on
 * which protocols and ports lie (abi.h).
 *
 * A port belongs to subjects, an address to atoms. For each pair of them the spans have the best rule of
 * each tier, and the best of all pairs is the first that matches. What is in no map is in no group: then
 * the rules about anybody decide, and else what the port says for that case. */
#ifndef WEFT_JUDGE_H
#define WEFT_JUDGE_H

#include "ask.h"
#include "../maps.h"
#include "packet.h"
#include "server_address.h"
#include "spoof.h"

#define SEARCH_STEPS 18 /* halvings from HEAD_SPANS down to one */
#define NO_RULE	     (~0ULL)

/* The best rules at the point, out of the spans of one head. */
__stage int take_spans(struct __sk_buff *skb, __u32 offset, __u32 count)
{
	struct inquiry *inquiry = inquiry_of(skb);
	const struct span *span;

	if (!inquiry || !count)
		return 0;
	for (int i = 0; i < SEARCH_STEPS; i++) {
		__u32 half = count / 2;
		__u32 middle = offset + half;

		if (!half)
			break;
		span = bpf_map_lookup_elem(&spans_v1, &middle);
		if (span && span->start <= inquiry->point) {
			offset = middle;
			count -= half;
		} else {
			count = half;
		}
	}
	span = bpf_map_lookup_elem(&spans_v1, &offset);
	if (!span) {
		inquiry->best[TIER_ADMIN] =
			0; /* weftd never writes such a head: the strictest rule */
		return 0;
	}
	for (int tier = 0; tier < TIERS; tier++)
		if (span->best[tier] < inquiry->best[tier])
			inquiry->best[tier] = span->best[tier];
	return 0;
}

static __always_inline __u32 set_of(const __u32 *identity)
{
	const struct identity *found = bpf_map_lookup_elem(&identities_v1, identity);

	return found ? found->set : 0;
}

/* The atoms of the prefix that the remote address is in; looked up once a question. */
static __always_inline __u32 prefix_set_of(struct inquiry *inquiry)
{
	const struct prefix *prefix;

	if (inquiry->has_prefix_set)
		return inquiry->prefix_set;
	inquiry->prefix.prefixlen = 32 + 128;
	inquiry->prefix.address = inquiry->remote.address;
	prefix = bpf_map_lookup_elem(&prefixes_v1, &inquiry->prefix);
	inquiry->prefix_set = prefix ? set_of(&prefix->identity) : 0;
	inquiry->has_prefix_set = true;
	return inquiry->prefix_set;
}

/* The atoms of an address that no port has for its own: of the ports that may use it. */
static __always_inline __u32 unowned_set_of(struct inquiry *inquiry)
{
	const struct prefix *prefix;

	if (is_link_local(&inquiry->remote.address))
		return 0;
	inquiry->unowned.prefixlen = 32 + 128;
	inquiry->unowned.vni = inquiry->remote.vni;
	inquiry->unowned.address = inquiry->remote.address;
	prefix = bpf_map_lookup_elem(&unowned_v1, &inquiry->unowned);
	return prefix ? set_of(&prefix->identity) : 0;
}

static __always_inline bool may_have_head(const struct subject *subject, __u32 atom)
{
	return subject->filter[(atom / 32) % (FILTER_BITS / 32)] & (1U << (atom % 32));
}

static __always_inline void take_atom(struct __sk_buff *skb, __u32 atom)
{
	struct inquiry *inquiry = inquiry_of(skb);
	const struct head *head;

	if (!inquiry)
		return;
	inquiry->head.atom = atom | (inquiry->direction == EGRESS ? HEAD_EGRESS : 0);
	head = bpf_map_lookup_elem(&heads_v1, &inquiry->head);
	if (head)
		take_spans(skb, head->offset, head->span_count);
}

/* The atoms of the row whose turn it is, for the subject that `subject_row` names. Nonzero: no row
 * follows. It looks up again what it needs, for that takes no stack. */
static long take_row(__u32 link __attribute__((unused)), struct __sk_buff **at)
{
	struct __sk_buff *skb = *at;
	struct inquiry *inquiry = inquiry_of(skb);
	const struct subject *subject;
	const struct atom_set *set;

	if (!inquiry)
		return 1;
	subject = bpf_map_lookup_elem(&subjects_v1, &inquiry->subject_row);
	set = bpf_map_lookup_elem(&atom_sets_v1, &inquiry->set);
	if (!subject || !set)
		return 1;
	for (__u32 i = 0; i < ATOM_SET_ATOMS; i++) {
		if (i >= set->atom_count)
			break;
		if (may_have_head(subject, set->atoms[i]))
			take_atom(skb, set->atoms[i]);
	}
	inquiry = inquiry_of(skb);
	if (!inquiry)
		return 1;
	inquiry->set = set->next;
	return !inquiry->set;
}

/* The rules of the subject about the atoms of one set: a chain of rows that begins at `at`. */
static __always_inline void take_set(struct __sk_buff *skb, struct inquiry *inquiry, __u32 at)
{
	inquiry->set = at;
	if (at)
		bpf_loop(ATOM_SET_CHAIN, take_row, &skb, 0);
}

/* The edition of a subject's rules that is current now, so that one question sees no other. */
static __always_inline void take_edition(struct inquiry *inquiry, __u32 subject)
{
	const struct current *current;

	inquiry->subject = subject;
	current = bpf_map_lookup_elem(&current_v1, &inquiry->subject);
	inquiry->head.edition = current ? current->edition : 0;
	inquiry->subject_row = inquiry->head.edition << 1 | (inquiry->direction & 1);
}

/* The rules of one subject about anybody and the groups of the remote address, or, then, of the same
 * edition about the prefixes that it is in. Nonzero: there are rules about prefixes. */
__stage int take_subject(struct __sk_buff *skb, __u32 number, __u32 is_about_prefixes)
{
	struct inquiry *inquiry = inquiry_of(skb);
	const struct subject *subject;
	__u32 at;

	if (!inquiry)
		return 0;
	if (!is_about_prefixes)
		take_edition(inquiry, number);
	subject = bpf_map_lookup_elem(&subjects_v1, &inquiry->subject_row);
	if (!subject)
		return 0;
	if (is_about_prefixes) {
		at = prefix_set_of(inquiry);
	} else {
		take_spans(skb, subject->any_offset, subject->any_count);
		at = inquiry->identity_set;
	}
	take_set(skb, inquiry, at);
	return subject->flags & SUBJECT_NAMES_PREFIXES;
}

/* Where the remote address lives; link-local ones are found by their MACs. */
static __always_inline const struct endpoint *remote_endpoint(struct inquiry *inquiry)
{
	inquiry->is_gateway = false;
	if (is_link_local(&inquiry->remote.address)) {
		inquiry->mac.vni = inquiry->remote.vni;
		if (!mac_of_link_local(&inquiry->remote.address, &inquiry->mac.mac))
			return NULL;
		inquiry->is_gateway = is_same_mac(&inquiry->mac.mac, &gateway_mac);
		return bpf_map_lookup_elem(&macs_v1, &inquiry->mac);
	}
	return bpf_map_lookup_elem(&addresses_v1, &inquiry->remote);
}

/* The first tier that has a rule which does not pass on decides. */
static __always_inline void conclude(struct inquiry *inquiry, const struct port_rules *rules)
{
	__u32 allows = inquiry->direction == EGRESS ? RULES_ALLOW_EGRESS : RULES_ALLOW_INGRESS;

	for (int tier = 0; tier < TIERS; tier++) {
		__u64 best = inquiry->best[tier];
		__u32 action = (__u32)best >> BEST_ACTION_SHIFT;

		if (best == NO_RULE || action == RULE_PASS)
			continue;
		inquiry->action = action;
		inquiry->rule = (__u32)best & BEST_NUMBER_MASK;
		return;
	}
	inquiry->action = rules->flags & allows ? RULE_ALLOW : RULE_DROP;
	inquiry->rule = 0;
}

/* Where this host itself is on the network: its own place. What has the gateway's address may be anybody's
 * whose packets the host passes on. */
static __always_inline bool is_host(const struct endpoint *endpoint)
{
	return endpoint && !endpoint->tunnel && endpoint->flags & ENDPOINT_HOST;
}

/* Whether weftd's DNS server is asked, as dns.h takes it. */
static __always_inline bool is_dns(struct inquiry *inquiry, const struct endpoint *remote)
{
	if ((inquiry->protocol != IPPROTO_UDP && inquiry->protocol != IPPROTO_TCP) ||
	    (__be16)bpf_htons(inquiry->point) != DNS_PORT)
		return false;
	if (remote)
		return remote->flags & ENDPOINT_GATEWAY && inquiry->remote.vni == inquiry->vni;
	return inquiry->is_gateway || is_server_address(&inquiry->remote.address) ||
	       bpf_map_lookup_elem(&resolvers_v1, &inquiry->remote.address);
}

/* What a port asks of DHCP servers as their client, and what they send it. */
static __always_inline bool is_dhcp(const struct inquiry *inquiry)
{
	bool is_asking = inquiry->direction == EGRESS;
	__be16 from = inquiry->first_source_port;
	__be16 to = bpf_htons(inquiry->point);
	__be16 own = is_asking ? from : to;
	__be16 other = is_asking ? to : from;

	if (inquiry->protocol != IPPROTO_UDP)
		return false;
	return inquiry->is_ipv4 ? own == DHCP_CLIENT && other == DHCP_SERVER
				: own == DHCPV6_CLIENT && other == DHCPV6_SERVER;
}

/* What passes by no rule: so that the port gets an address, or since its row says so. */
static __always_inline bool is_excepted(struct inquiry *inquiry, const struct port_rules *rules,
					const struct endpoint *remote)
{
	if (is_dhcp(inquiry))
		return true;
	if (inquiry->direction == INGRESS)
		return rules->flags & RULES_ADMIT_HOST && inquiry->may_be_host && is_host(remote);
	return rules->flags & RULES_ALLOW_DNS && inquiry->may_be_dns && is_dns(inquiry, remote);
}

/* Asks `row`, `direction`, `point`, `first_source_port`, `remote`, `may_be_host` and `may_be_dns`; the answer is its
 * `action` and `rule`. */
__stage int judge(struct __sk_buff *skb)
{
	struct inquiry *inquiry = inquiry_of(skb);
	const struct endpoint *remote;
	const struct port_rules *rules;

	if (!inquiry)
		return 0;
	inquiry->action = RULE_DROP;
	inquiry->rule = 0;
	rules = bpf_map_lookup_elem(&port_rules_v1, &inquiry->row);
	if (!rules)
		return 0;
	remote = remote_endpoint(inquiry);
	if (is_excepted(inquiry, rules, remote)) {
		inquiry->action = RULE_ALLOW;
		return 0;
	}
	if (remote)
		inquiry->identity_set = remote->group ? set_of(&remote->group) : 0;
	else
		inquiry->identity_set = unowned_set_of(inquiry);
	inquiry->has_prefix_set = false;
	inquiry->prefix.tenant = rules->tenant;
	for (int tier = 0; tier < TIERS; tier++)
		inquiry->best[tier] = NO_RULE;
	for (__u32 i = 0; i < RULES_SUBJECTS; i++) {
		if (i >= rules->subject_count)
			break;
		if (take_subject(skb, rules->subjects[i], false))
			take_subject(skb, rules->subjects[i], true);
	}
	conclude(inquiry, rules);
	return 0;
}

#endif
