/* What the programs know: structures and maps. layout.py has the Python side of the structures;
 * raise LAYOUT there when one changes. Sizes of maps that depend on the clients are set at load
 * time. */

#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SECOND 1000000000ULL
#define VALID (200 * SECOND)         /* an index: WireGuard rejects keys after 180 s */
#define FRAGMENT_VALID (30 * SECOND) /* the kernel's own time for a reassembly */
#define REPORT_SPACING SECOND        /* FOREIGN: per endpoint */
#define TOKEN (SECOND / 2000)        /* FOREIGN: of all endpoints, 2,000/s ... */
#define BURST (SECOND / 4)           /* ... and 500 at once */
#define RELAYED 0xac057e1d           /* skb->mark; zero on what a driver receives */
#define MAX_SERVICES 8
#define MAX_SEGMENTS 128 /* UDP_MAX_SEGMENTS of the newest kernels */
#define INDICES 8
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff

enum message { INITIATION = 1, RESPONSE = 2, DATA = 4 };
enum { INITIATION_LENGTH = 148, RESPONSE_LENGTH = 92, DATA_LENGTH = 32 };
enum event_kind { FOREIGN, ANSWERED, FIRST };
enum { TOLD_FIRST = 1, TOLD_ANSWERED = 2 };
enum { TRUSTED = 1 };

struct endpoint { /* IPv4 as ::ffff:a.b.c.d */
	__be32 address[4];
	__be16 port;
	__u16 zero;
};

struct index { /* one that this node handed out */
	__u64 learned;
	__u32 told;
	__u32 zero;
};

struct indices { /* those negotiated with one endpoint, a ring */
	__u32 index[INDICES];
	__u32 next;
	__u32 open; /* the last one is of an initiation */
};

struct relay { /* owner: loopback, 0: none, report only */
	__u64 reported;
	__be32 owner;
	__u32 zero;
};

struct fragment_key {
	__be32 source[4];
	__be32 destination[4];
	__be32 id;
};

struct fragment { /* what became of the first one; owner 0: delivered */
	__u64 seen;
	__be32 owner;
	__u32 zero;
};

struct settings {
	__u32 flags;
	__u32 fabric; /* interface indices, 0: none */
	__u32 uplink;
	__u32 services;
	__u8 fabric_mac[6];
	__u8 uplink_mac[6];
	struct endpoint service[MAX_SERVICES];
};

struct counters {
	__u64 own, foreign, relayed, delivered, refused, unknown, reported, suppressed, lost;
};

struct event {
	__u64 at; /* CLOCK_MONOTONIC, ns */
	struct endpoint source;
	__u32 kind;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct index);
} mine SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct endpoint);
	__type(value, struct indices);
} negotiated SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct endpoint);
	__type(value, struct relay);
} relays SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} bucket SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

#define COUNT(field, n) \
	do { \
		__u32 zero_ = 0; \
		struct counters *counters_ = bpf_map_lookup_elem(&counters, &zero_); \
		if (counters_) \
			counters_->field += (n); \
	} while (0)

static __always_inline struct settings *current_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}
