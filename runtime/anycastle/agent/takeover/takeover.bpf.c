// Takeover's packet path: three tc programs in front of WireGuard.
//
//   takeover_egress    uplink, egress    learns the receiver indices that this node hands out
//   takeover_ingress   uplink, ingress   ours: pass; another node's: report, relay to its owner
//   takeover_fabric    fabric, ingress   came relayed: ours: hand to the uplink; else drop
//
// A data packet names its session by an index that the receiving node chose (WireGuard
// white paper, 5.4): so a node that remembers which indices it sent in its own handshake
// messages can tell its packets from others' without a key.
//
//   initiation (148 bytes)   type=1 sender ...
//   response    (92 bytes)   type=2 sender receiver ...
//   data     (32.. bytes)    type=4 receiver counter ...
//
// A relayed packet gets new hardware addresses and leaves by the fabric, whose addresses
// are made from loopbacks, so the next hop needs no lookup. It is relayed once: what
// comes in over the fabric is delivered here or dropped. For delivery it re-enters on the
// uplink, where wireguard-go answers from the device that a packet came in by, and where
// a strict rp_filter expects it.
//
// Everything else passes untouched (TC_ACT_UNSPEC: filters after this one run). No field of
// a kernel structure is read, so one object serves every kernel; sizes are set at load time.
// layout.py has the Python side of the structures; raise LAYOUT there when one changes.

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

struct packet {
	struct endpoint source;
	struct endpoint destination;
	__u32 payload; /* offset of the UDP payload */
	__u32 type;
	__u32 word[2]; /* receiver of data; sender and receiver of a response */
	__be32 id;     /* of a fragment */
	__u16 length;  /* of the UDP payload, as its header says */
	__u8 more;     /* the first of several fragments */
	__u8 rest;     /* another one: nothing above `id` but the addresses is known */
};

/* One train of segments (GSO), or one packet: how much of it is whose. */
struct share {
	__u32 own;
	__u32 foreign;
	__u32 other; /* no data */
};

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

/* parsing */

static __always_inline void mapped(__be32 *to, __be32 address)
{
	to[0] = to[1] = 0;
	to[2] = bpf_htonl(0xffff);
	to[3] = address;
}

/* Offset of the UDP header; 0: not UDP. */
static __always_inline __u32 parse4(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.protocol != IPPROTO_UDP)
		return 0;
	mapped(p->source.address, ip.saddr);
	mapped(p->destination.address, ip.daddr);
	p->id = ip.id;
	p->more = !!(ip.frag_off & bpf_htons(IP_MF));
	p->rest = !!(ip.frag_off & bpf_htons(IP_OFFSET));
	return ETH_HLEN + ip.ihl * 4;
}

static __always_inline __u32 parse6(struct __sk_buff *skb, struct packet *p)
{
	struct ipv6hdr ip;
	struct {
		__u8 next, zero;
		__be16 offset;
		__be32 id;
	} part; /* RFC 8200, 4.5 */

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return 0;
	__builtin_memcpy(p->source.address, &ip.saddr, sizeof(ip.saddr));
	__builtin_memcpy(p->destination.address, &ip.daddr, sizeof(ip.daddr));
	if (ip.nexthdr == IPPROTO_UDP)
		return ETH_HLEN + sizeof(ip);
	if (ip.nexthdr != IPPROTO_FRAGMENT ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(ip), &part, sizeof(part)) ||
	    part.next != IPPROTO_UDP)
		return 0;
	p->id = part.id;
	p->more = !!(part.offset & bpf_htons(1));
	p->rest = !!(part.offset & bpf_htons(0xfff8));
	return ETH_HLEN + sizeof(ip) + sizeof(part);
}

/* Is it UDP with room for a WireGuard header, or the rest of a fragmented packet? */
static __always_inline int parse(struct __sk_buff *skb, struct packet *p)
{
	struct {
		struct udphdr udp;
		__u32 type;
		__u32 word[2];
	} head;
	__u32 at = 0;

	__builtin_memset(p, 0, sizeof(*p));
	if (skb->vlan_present && (skb->vlan_tci & 0xfff))
		return 0; /* another device's packet */
	if (skb->protocol == bpf_htons(ETH_P_IP))
		at = parse4(skb, p);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		at = parse6(skb, p);
	if (!at)
		return 0;
	if (p->rest)
		return 1;
	if (bpf_skb_load_bytes(skb, at, &head, sizeof(head)))
		return 0;
	p->source.port = head.udp.source;
	p->destination.port = head.udp.dest;
	p->length = bpf_ntohs(head.udp.len) - sizeof(head.udp);
	p->payload = at + sizeof(head.udp);
	p->type = head.type; /* little-endian, as BPF is here; includes three zero bytes */
	p->word[0] = head.word[0];
	p->word[1] = head.word[1];
	return 1;
}

static __always_inline int same_address(const __be32 *a, const __be32 *b)
{
	return a[3] == b[3] && a[2] == b[2] && a[1] == b[1] && a[0] == b[0];
}

/* Is it one of the addresses that clients connect to? Of a later fragment the port is unknown. */
static __always_inline int is_service(const struct settings *set, const struct endpoint *e, int any)
{
	for (__u32 i = 0; i < MAX_SERVICES; i++) {
		const struct endpoint *service = &set->service[i];

		if (i >= set->services)
			break;
		if ((any || service->port == e->port) &&
		    same_address(service->address, e->address))
			return 1;
	}
	return 0;
}

/* events */

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

/* indices */

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

/* relaying */

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

/* programs */

SEC("tc") int takeover_egress(struct __sk_buff *skb)
{
	struct settings *set = current_settings();
	struct packet p;

	if (!set || !parse(skb, &p) || p.rest || !is_service(set, &p.source, 0))
		return TC_ACT_UNSPEC;
	if ((p.type == INITIATION && p.length == INITIATION_LENGTH) ||
	    (p.type == RESPONSE && p.length == RESPONSE_LENGTH))
		learn(&p);
	return TC_ACT_UNSPEC;
}

static __always_inline int foreign(struct __sk_buff *skb, const struct settings *set,
				   const struct packet *p, const struct share *share)
{
	struct relay *relay = bpf_map_lookup_elem(&relays, &p->source);
	int keep = share->own || share->other;
	__be32 owner;

	if (!relay) {
		COUNT(unknown, share->foreign);
		return TC_ACT_UNSPEC;
	}
	COUNT(foreign, share->foreign);
	report_foreign(relay, &p->source);
	owner = relay->owner;
	if (!owner || !may_relay(set))
		return TC_ACT_UNSPEC;
	COUNT(relayed, share->foreign);
	if (keep)
		return relay_copy(skb, set, owner);
	if (p->more)
		expect_rest(p, owner);
	return relay_whole(skb, set, owner);
}

SEC("tc") int takeover_ingress(struct __sk_buff *skb)
{
	struct settings *set = current_settings();
	struct fragment *seen;
	struct share share;
	struct packet p;

	if (skb->mark == RELAYED) {
		skb->mark = 0;
		return TC_ACT_UNSPEC;
	}
	if (!set || skb->pkt_type != PACKET_HOST || !parse(skb, &p) ||
	    !is_service(set, &p.destination, p.rest))
		return TC_ACT_UNSPEC;
	if (p.rest) {
		seen = first_of(&p);
		if (seen && seen->owner && may_relay(set))
			return relay_whole(skb, set, seen->owner);
		return TC_ACT_UNSPEC;
	}
	if (p.type == RESPONSE && p.length == RESPONSE_LENGTH) {
		struct index *index = own_index(p.word[1], bpf_ktime_get_coarse_ns());

		if (index)
			report_once(index, TOLD_ANSWERED, ANSWERED, &p.source);
	}
	if (p.type != DATA && !skb->gso_size)
		return TC_ACT_UNSPEC;
	if (p.length < DATA_LENGTH)
		return TC_ACT_UNSPEC;
	share = whose(skb, &p);
	if (share.own)
		COUNT(own, share.own);
	if (share.foreign)
		return foreign(skb, set, &p, &share);
	return TC_ACT_UNSPEC;
}

SEC("tc") int takeover_fabric(struct __sk_buff *skb)
{
	struct settings *set = current_settings();
	struct fragment *seen;
	struct share share;
	struct packet p;

	if (!set || skb->pkt_type != PACKET_HOST || !parse(skb, &p) ||
	    !is_service(set, &p.destination, p.rest))
		return TC_ACT_UNSPEC;
	if (p.rest) {
		seen = first_of(&p);
		return seen && !seen->owner && set->uplink ? deliver(skb, set) : TC_ACT_UNSPEC;
	}
	if ((p.type != DATA && !skb->gso_size) || p.length < DATA_LENGTH)
		return TC_ACT_UNSPEC;
	share = whose(skb, &p);
	if (!share.own || !set->uplink) {
		COUNT(refused, share.own + share.foreign);
		return TC_ACT_SHOT;
	}
	COUNT(delivered, share.own);
	if (p.more)
		expect_rest(&p, 0);
	return deliver(skb, set);
}

char license_[] SEC("license") = "GPL";
