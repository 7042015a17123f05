//go:build ignore

// The eBPF program of a relay: it turns channel data (RFC 8656#section-12.4) of
// clients into datagrams to their peers, and back, before the network stack
// sees them. The map flows says for whom; every other packet, and each that is
// not plain, goes on to the relay in user space.
//
// relay.o is compiled from this; see the line with go:generate.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// Addresses, ports and channel of a packet, in network byte order. The channel
// is 0 between relay and peer.
struct path {
	__be32 saddr, daddr;
	__be16 sport, dport;
	__be16 channel;
	__u16 unused;
};

struct flow {
	struct path out; // what the packet leaves with
	__u64 packets, bytes;
	__u64 from, to; // hardware addresses: of who sends this way, and of who gets it; 0: not known
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct path);
	__type(value, struct flow);
} flows SEC(".maps");

// Of the interface; set before the program is loaded.
const volatile __u64 own_hardware;
const volatile __u32 mtu;

struct channel_data {
	__be16 number, length;
};

#define HEADERS (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr))

static __always_inline __u64 hardware(const unsigned char *b)
{
	return *(const __u32 *)b | (__u64)*(const __u16 *)(b + 4) << 32;
}

static __always_inline void set_hardware(unsigned char *b, __u64 a)
{
	*(__u32 *)b = a;
	*(__u16 *)(b + 4) = a >> 32;
}

// The sum of RFC 1071 over a header without options.
static __always_inline __u16 ip_sum(const struct iphdr *ip)
{
	const __u16 *w = (const __u16 *)ip;
	__u32 sum = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += w[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return sum + (sum >> 16);
}

SEC("xdp") int relay(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct channel_data *cd = (void *)(udp + 1);

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || hardware(eth->h_dest) != own_hardware)
		return XDP_PASS;
	// Options, fragments, what has come too far, and what the stack would refuse.
	if (ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_UDP || ip->frag_off & bpf_htons(0x3fff) ||
	    ip->ttl <= 1 || ip_sum(ip) != 0xffff)
		return XDP_PASS;
	__u32 frame = bpf_xdp_get_buff_len(ctx), total = bpf_ntohs(ip->tot_len), size = bpf_ntohs(udp->len);
	if (size < sizeof *udp || total != sizeof *ip + size || sizeof *eth + total > frame)
		return XDP_PASS;
	size -= sizeof *udp;

	struct path in = { ip->saddr, ip->daddr, udp->source, udp->dest, 0, 0 };
	struct flow *flow = 0;
	if ((void *)(cd + 1) <= end && size >= sizeof *cd && (cd->number & bpf_htons(0xc000)) == bpf_htons(0x4000)) {
		in.channel = cd->number;
		flow = bpf_map_lookup_elem(&flows, &in);
	}
	if (!flow) {
		in.channel = 0;
		flow = bpf_map_lookup_elem(&flows, &in);
	}
	if (!flow)
		return XDP_PASS;

	// A packet is answered along the path that it came: who sent it here, the
	// neighbour itself or a router, gets what goes the other way.
	struct path out = flow->out;
	__u64 from = hardware(eth->h_source);
	if (flow->from != from) {
		struct path back = { out.daddr, out.saddr, out.dport, out.sport, out.channel, 0 };
		struct flow *reverse = bpf_map_lookup_elem(&flows, &back);
		if (!reverse)
			return XDP_PASS;
		reverse->to = from;
		flow->from = from;
	}
	__u64 to = flow->to;
	if (!to)
		return XDP_PASS;

	__u32 bytes = size; // that are relayed
	int grow = sizeof *cd;
	if (in.channel) {
		if ((void *)(cd + 1) > end)
			return XDP_PASS;
		bytes = bpf_ntohs(cd->length);
		// Up to three bytes of padding may follow, and then lie behind the
		// datagram; network devices need not lengthen short frames for us.
		if (sizeof *cd + bytes > size || size - sizeof *cd - bytes > 3 || frame < ETH_ZLEN + sizeof *cd)
			return XDP_PASS;
		size = bytes;
		grow = -grow;
	} else {
		size += sizeof *cd;
	}
	if (sizeof *ip + sizeof *udp + size > mtu)
		return XDP_PASS;

	struct iphdr new_ip = *ip; // type of service, identification and DF stay, RFC 8656#section-16
	if (bpf_xdp_adjust_head(ctx, -grow))
		return XDP_PASS;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	eth = data;
	ip = (void *)(eth + 1);
	udp = (void *)(ip + 1);
	cd = (void *)(udp + 1);
	if ((void *)(udp + 1) > end)
		return XDP_DROP;

	eth->h_proto = bpf_htons(ETH_P_IP);
	set_hardware(eth->h_source, own_hardware);
	set_hardware(eth->h_dest, to);
	new_ip.saddr = out.saddr;
	new_ip.daddr = out.daddr;
	new_ip.ttl--;
	new_ip.tot_len = bpf_htons(sizeof *ip + sizeof *udp + size);
	new_ip.check = 0;
	new_ip.check = ~ip_sum(&new_ip);
	*ip = new_ip;
	// No checksum, which IPv4 permits: what we were sent may be one that
	// hardware was to complete, so there is none to adjust.
	*udp = (struct udphdr){ out.sport, out.dport, bpf_htons(sizeof *udp + size), 0 };
	if (out.channel) {
		if ((void *)(cd + 1) > end)
			return XDP_DROP;
		*cd = (struct channel_data){ out.channel, bpf_htons(bytes) };
	}
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, bytes);
	return XDP_TX;
}

char dual_license[] SEC("license") = "Dual MIT/GPL";
