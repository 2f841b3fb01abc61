package docker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// createNetwork makes a bridge network for one run with a subnet of its own, so that members have addresses that
// we choose: a rule names a member by its address.
func (e *engine) createNetwork(ctx context.Context, name string, labels map[string]string) (netip.Prefix, error) {
	var last error
	for range 20 {
		subnet, err := e.freeSubnet(ctx)
		if err != nil {
			return netip.Prefix{}, err
		}
		_, err = e.api.NetworkCreate(ctx, name, client.NetworkCreateOptions{
			Driver: "bridge", Labels: labels,
			IPAM: &network.IPAM{Driver: "default", Config: []network.IPAMConfig{{Subnet: subnet, Gateway: host(subnet, 1)}}},
		})
		if err == nil {
			return subnet, nil
		}
		// Somebody else has taken it since we looked, or a route that the engine sees and we do not.
		if !strings.Contains(err.Error(), "overlap") {
			return netip.Prefix{}, fmt.Errorf("docker: create network: %w", err)
		}
		last = err
	}
	return netip.Prefix{}, fmt.Errorf("docker: create network: no free subnet in 20 attempts: %w", last)
}

// freeSubnet draws a /24 of 10.192.0.0/10 that neither the engine nor this machine uses.
func (e *engine) freeSubnet(ctx context.Context) (netip.Prefix, error) {
	used, err := e.usedSubnets(ctx)
	if err != nil {
		return netip.Prefix{}, err
	}
	for range 1000 {
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(192 + rand.IntN(64)), byte(rand.IntN(256)), 0}), 24)
		free := true
		for _, other := range used {
			free = free && !other.Overlaps(subnet)
		}
		if free {
			return subnet, nil
		}
	}
	return netip.Prefix{}, errors.New("docker: no free subnet in 10.192.0.0/10: remove unused networks (raftlab clean)")
}

func (e *engine) usedSubnets(ctx context.Context) ([]netip.Prefix, error) {
	networks, err := e.api.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return nil, fmt.Errorf("docker: list networks: %w", err)
	}
	var used []netip.Prefix
	for _, n := range networks.Items {
		for _, config := range n.IPAM.Config {
			if config.Subnet.IsValid() {
				used = append(used, config.Subnet)
			}
		}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("docker: list addresses: %w", err)
	}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			used = append(used, prefix.Masked())
		}
	}
	return used, nil
}

// host is the nth address of a subnet.
func host(subnet netip.Prefix, n int) netip.Addr {
	bytes := subnet.Addr().As4()
	bytes[3] = byte(n)
	return netip.AddrFrom4(bytes)
}
