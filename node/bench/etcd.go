package main

import (
	"context"
	"fmt"
	"net/url"
	"runtime/debug"

	"go.etcd.io/etcd/server/v3/embed"
)

// etcdMember is one member of a static cluster.
type etcdMember struct {
	name, data, client, peer, cluster string // cluster: name=url,name=url,name=url
}

// serveEtcd runs an etcd member with etcd's defaults: fsync on, gRPC and its HTTP gateway on one port. Only
// the log is quieter.
func serveEtcd(ctx context.Context, m etcdMember) error {
	client, peer := url.URL{Scheme: "http", Host: m.client}, url.URL{Scheme: "http", Host: m.peer}
	c := embed.NewConfig()
	c.Name, c.Dir = m.name, m.data
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster, c.ClusterState = m.cluster, embed.ClusterStateFlagNew
	c.LogLevel, c.LogOutputs = "warn", []string{"stderr"}
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		return fmt.Errorf("bench: start etcd: %w", err)
	}
	defer etcd.Close()
	select {
	case <-ctx.Done():
		return nil
	case err := <-etcd.Err():
		return err
	}
}

// etcdVersion is the version of the module in this binary.
func etcdVersion() string {
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			if module.Path == "go.etcd.io/etcd/server/v3" {
				return module.Version
			}
		}
	}
	return "unknown"
}
