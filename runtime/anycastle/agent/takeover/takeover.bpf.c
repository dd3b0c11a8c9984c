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
//
// headers/   maps.h     structures and maps          parse.h   a packet's fields
//            events.h   reports to the agent         indices.h whose a packet is
//            relay.h    to the owner, from a relay

#include "headers/indices.h"
#include "headers/relay.h"

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
