// Command etcd is one member of an etcd cluster for the lab: etcd's own server with a command line of six flags. It is a
// module of its own, so that nobody who tests their store carries etcd.
//
//	go build -C harness/systems/etcd/server -o /tmp/etcd .
package main

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
}

func serve() error {
	c := embed.NewConfig()
	var client, peer, advertise, proxy string
	flag.StringVar(&c.Name, "name", "", "of this member in --cluster")
	flag.StringVar(&c.Dir, "data", "", "directory that outlives a kill")
	flag.StringVar(&client, "client", "", "host:port on which clients are served")
	flag.StringVar(&peer, "peer", "", "host:port on which peers are served")
	flag.StringVar(&advertise, "advertise", "", "URL at which peers reach this member, as in --cluster")
	flag.StringVar(&c.InitialCluster, "cluster", "", "name=url,... of all members")
	flag.StringVar(&proxy, "peer-proxy", "", "host:port of an HTTP CONNECT proxy through which peers are dialled")
	flag.Parse()

	at, err := url.Parse(advertise)
	if err != nil {
		return err
	}
	c.ListenClientUrls, c.AdvertiseClientUrls = urls("http", client), urls("http", client)
	c.ListenPeerUrls, c.AdvertisePeerUrls = urls(at.Scheme, peer), []url.URL{*at}
	c.ClusterState = embed.ClusterStateFlagNew // what is on disk goes first
	if proxy != "" {
		// net/http sends CONNECT for https only, and so only through TLS does a peer pass the relay of the lab.
		c.PeerAutoTLS = true
		os.Setenv("HTTPS_PROXY", "http://"+proxy)
		os.Unsetenv("NO_PROXY")
	}
	// The same times as raftd has, so that one scenario fits both. Small snapshots, so that a short run takes some.
	c.TickMs, c.ElectionMs = 50, 500
	c.SnapshotCount, c.SnapshotCatchUpEntries = 100, 20
	c.LogLevel, c.LogOutputs = "warn", []string{"stderr"}
	return run(c)
}

func run(c *embed.Config) error {
	fmt.Fprintln(os.Stderr, "etcd", version())
	server, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	defer server.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	select {
	case <-stop:
		return nil
	case err := <-server.Err():
		return err
	}
}

func urls(scheme, host string) []url.URL { return []url.URL{{Scheme: scheme, Host: host}} }

func version() string {
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			if module.Path == "go.etcd.io/etcd/server/v3" {
				return module.Version
			}
		}
	}
	return "of an unknown version"
}
