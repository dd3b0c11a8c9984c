/* What the agent is told, and how often at most. */

#pragma once

#include "maps.h"

static __always_inline void report(enum event_kind kind, const struct endpoint *source)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		COUNT(lost, 1);
		return;
	}
	event->at = bpf_ktime_get_ns();
	event->source = *source;
	event->kind = kind;
	bpf_ringbuf_submit(event, 0);
	COUNT(reported, 1);
}

static __always_inline void report_once(struct index *index, __u32 told, enum event_kind kind,
					const struct endpoint *source)
{
	if (!(__sync_fetch_and_or(&index->told, told) & told))
		report(kind, source);
}

/* The generic cell rate algorithm (ITU-T I.371): one word says when the bucket will be full. */
static __always_inline int take_token(__u64 now)
{
	__u32 zero = 0;
	__u64 *full = bpf_map_lookup_elem(&bucket, &zero);
	__u64 before, base;

	if (!full)
		return 0;
	before = *(volatile __u64 *)full;
	base = (__s64)(before - now) > 0 ? before : now;
	if (base - now > BURST)
		return 0;
	/* Another CPU was faster: one event less, and the next packet brings it. */
	return __sync_val_compare_and_swap(full, before, base + TOKEN) == before;
}

static __always_inline void report_foreign(struct relay *relay, const struct endpoint *source)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 before = *(volatile __u64 *)&relay->reported;

	if ((before && now - before < REPORT_SPACING) || !take_token(now) ||
	    __sync_val_compare_and_swap(&relay->reported, before, now) != before) {
		COUNT(suppressed, 1);
		return;
	}
	report(FOREIGN, source);
}
