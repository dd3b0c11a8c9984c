/* Where a packet goes: to its owner by the fabric, or in at the uplink. */

#pragma once

#include "parse.h"

struct hardware {
	__u8 destination[6];
	__u8 source[6];
};

/* model.addresses.fabric_mac: 02:ac and the loopback */
static __always_inline void address_to(struct hardware *to, const struct settings *set, __be32 owner)
{
	to->destination[0] = 0x02;
	to->destination[1] = 0xac;
	__builtin_memcpy(to->destination + 2, &owner, sizeof(owner));
	__builtin_memcpy(to->source, set->fabric_mac, sizeof(to->source));
}

static __always_inline int relay_whole(struct __sk_buff *skb, const struct settings *set, __be32 owner)
{
	struct hardware to;

	address_to(&to, set, owner);
	if (bpf_skb_store_bytes(skb, 0, &to, sizeof(to), 0))
		return TC_ACT_UNSPEC;
	return bpf_redirect(set->fabric, 0);
}

/* A mixed train goes to both: WireGuard drops the segments that it has no key for. */
static __always_inline int relay_copy(struct __sk_buff *skb, const struct settings *set, __be32 owner)
{
	struct hardware to, was;

	if (bpf_skb_load_bytes(skb, 0, &was, sizeof(was)))
		return TC_ACT_UNSPEC;
	address_to(&to, set, owner);
	if (bpf_skb_store_bytes(skb, 0, &to, sizeof(to), 0))
		return TC_ACT_UNSPEC;
	bpf_clone_redirect(skb, set->fabric, 0);
	bpf_skb_store_bytes(skb, 0, &was, sizeof(was), 0);
	return TC_ACT_UNSPEC;
}

static __always_inline int deliver(struct __sk_buff *skb, const struct settings *set)
{
	if (bpf_skb_store_bytes(skb, 0, set->uplink_mac, sizeof(set->uplink_mac), 0))
		return TC_ACT_SHOT;
	skb->mark = RELAYED;
	return bpf_redirect(set->uplink, BPF_F_INGRESS);
}

static __always_inline void fragment_key_of(struct fragment_key *key, const struct packet *p)
{
	__builtin_memcpy(key->source, p->source.address, sizeof(key->source));
	__builtin_memcpy(key->destination, p->destination.address, sizeof(key->destination));
	key->id = p->id;
}

/* What follows the first fragment of a relayed or delivered packet has no UDP header. */
static __always_inline void expect_rest(const struct packet *p, __be32 owner)
{
	struct fragment seen = {.seen = bpf_ktime_get_coarse_ns(), .owner = owner};
	struct fragment_key key;

	fragment_key_of(&key, p);
	bpf_map_update_elem(&fragments, &key, &seen, BPF_ANY);
}

static __always_inline struct fragment *first_of(const struct packet *p)
{
	struct fragment_key key;
	struct fragment *seen;

	fragment_key_of(&key, p);
	seen = bpf_map_lookup_elem(&fragments, &key);
	if (!seen || (__s64)(bpf_ktime_get_coarse_ns() - seen->seen) > (__s64)FRAGMENT_VALID)
		return NULL;
	return seen;
}

static __always_inline int may_relay(const struct settings *set)
{
	return (set->flags & TRUSTED) && set->fabric;
}
