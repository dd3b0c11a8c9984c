/* Whose is a packet? By the receiver indices that this node handed out. */

#pragma once

#include "events.h"
#include "parse.h"

/* One train of segments (GSO), or one packet: how much of it is whose. */
struct share {
	__u32 own;
	__u32 foreign;
	__u32 other; /* no data */
};

static __always_inline struct index *own_index(__u32 key, __u64 now)
{
	struct index *index = bpf_map_lookup_elem(&mine, &key);

	/* The coarse clock of another CPU may be behind: the difference is signed. */
	return index && (__s64)(now - index->learned) < (__s64)VALID ? index : NULL;
}

static __always_inline void own_data(struct index *index, const struct endpoint *source)
{
	if (!(*(volatile __u32 *)&index->told & TOLD_FIRST))
		report_once(index, TOLD_FIRST, FIRST, source);
}

enum { OWN = 1, ALIEN = 2, OTHER = 4 };

/* Whose is the message at this offset? 0: there is none. Verified by itself (it is no static
 * function), so that the loop over a train costs the verifier no more than its calls. */
__noinline __u32 whose_message(struct __sk_buff *skb, __u32 at, const struct endpoint *source)
{
	struct index *index;
	__u32 word[2];

	if (!source || bpf_skb_load_bytes(skb, at, word, sizeof(word)))
		return 0;
	if (word[0] != DATA)
		return OTHER;
	index = own_index(word[1], bpf_ktime_get_coarse_ns());
	if (!index)
		return ALIEN;
	own_data(index, source);
	return OWN;
}

/* A train that GRO or its sender joined: the first header stands for none of the others. */
static __always_inline struct share whose_train(struct __sk_buff *skb, const struct packet *p)
{
	__u32 at = p->payload, step = skb->gso_size;
	struct share share = {};

	for (__u32 i = 0; i < MAX_SEGMENTS; i++, at += step) {
		__u32 message = whose_message(skb, at, &p->source);

		if (!message)
			break;
		share.own += message & OWN;
		share.foreign += (message & ALIEN) >> 1;
		share.other += (message & OTHER) >> 2;
	}
	return share;
}

static __always_inline struct share whose(struct __sk_buff *skb, const struct packet *p)
{
	struct share share = {};
	struct index *index;

	if (skb->gso_size)
		return whose_train(skb, p);
	index = own_index(p->word[0], bpf_ktime_get_coarse_ns());
	if (index)
		own_data(index, &p->source);
	share.own = !!index;
	share.foreign = !index;
	return share;
}

static __always_inline void remember(struct indices *held, __u32 index, __u32 is_initiation)
{
	__u32 slot = held->next % INDICES, last = (held->next - 1) % INDICES;

	if (held->open && is_initiation) {
		/* WireGuard tries again: nobody can answer the first one any more. */
		__u32 dead = held->index[last];
		struct index *state = bpf_map_lookup_elem(&mine, &dead);

		if (!state || !(state->told & TOLD_ANSWERED)) {
			bpf_map_delete_elem(&mine, &dead);
			slot = last;
		}
	}
	held->index[slot] = index;
	held->next = slot + 1;
	held->open = is_initiation;
}

static __always_inline void learn(const struct packet *p)
{
	struct index fresh = {.learned = bpf_ktime_get_coarse_ns()};
	struct indices *held;
	__u32 key = p->word[0];

	bpf_map_update_elem(&mine, &key, &fresh, BPF_ANY);
	held = bpf_map_lookup_elem(&negotiated, &p->destination);
	if (held) {
		remember(held, key, p->type == INITIATION);
	} else {
		struct indices first = {.index = {key}, .next = 1, .open = p->type == INITIATION};

		bpf_map_update_elem(&negotiated, &p->destination, &first, BPF_ANY);
	}
}
