/* What is a packet? From bytes to addresses, ports and the head of a WireGuard message. */

#pragma once

#include "maps.h"

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
