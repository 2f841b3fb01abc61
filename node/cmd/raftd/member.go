package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"raftlab/node/internal/api"
	"raftlab/node/internal/driver"
	"raftlab/node/internal/kv"
	"raftlab/node/internal/peer"
	"raftlab/node/internal/vfs"
	"raftlab/node/internal/wal"
	"raftlab/raft"
)

// shutdownTimeout bounds the wait for requests under way.
const shutdownTimeout = 5 * time.Second

// runMember runs a member until ctx ends or it cannot go on. The port is taken before the disk is touched:
// a command line that cannot work leaves nothing behind.
func runMember(ctx context.Context, o options, logger *slog.Logger) error {
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("port in use: cannot listen on %s; stop the other process or choose another --port", o.listen)
		}
		return fmt.Errorf("cannot listen on %s: %w", o.listen, err)
	}
	defer listener.Close()
	dial := dialer(o.peerProxy)
	log, found, err := openLog(ctx, o, dial, logger)
	if err != nil {
		return err
	}
	defer log.Close()
	if o.join != "" && found.Identity.Cluster != 0 {
		if err := sameCluster(ctx, o, dial, found.Identity, logger); err != nil {
			return err
		}
	}
	return serveMember(ctx, o, listener, log, found, logger)
}

// openLog opens the member's log, or makes one: of a new cluster, or of a member that is about to join.
func openLog(ctx context.Context, o options, dial dialFunc, logger *slog.Logger) (*wal.Log, wal.Recovered, error) {
	log, found, err := wal.Open(vfs.OS{}, o.data)
	switch {
	case err == nil:
		if err := found.Identity.Expect(o.advertise, 0); err != nil {
			log.Close()
			return nil, found, fmt.Errorf("data directory %s: %w; choose another --data", o.data, err)
		}
		if found.Torn > 0 {
			logger.Warn("cut off an unfinished write at the end of the log", "bytes", found.Torn)
		}
	case !errors.Is(err, wal.ErrNotExist):
		return nil, found, fmt.Errorf("data directory %s: %w", o.data, err)
	default:
		if o.join != "" {
			// Before anything is written: somebody must be there.
			if _, err := askCluster(ctx, o, dial); err != nil {
				return nil, found, err
			}
		}
		id := wal.Identity{ID: raft.ID(random()), Address: o.advertise}
		if log, err = wal.Create(vfs.OS{}, o.data, id); err != nil {
			return nil, found, fmt.Errorf("data directory %s: %w", o.data, err)
		}
		found = wal.Recovered{Identity: log.Identity()}
		logger.Info("new member", "id", id.ID.String(), "address", id.Address, "data", o.data)
	}
	if o.join == "" && found.Identity.Cluster == 0 && len(found.Entries) == 0 {
		if found, err = bootstrap(log, found); err != nil {
			log.Close()
			return nil, found, err
		}
		logger.Info("new cluster", "cluster", found.Identity.Cluster.String())
	}
	return log, found, nil
}

// bootstrap makes the log that of a cluster of one: its first entry is the configuration. One sync makes
// all of it durable, or none.
func bootstrap(log *wal.Log, found wal.Recovered) (wal.Recovered, error) {
	self := raft.Member{ID: found.Identity.ID, Address: found.Identity.Address}
	data, err := raft.Configuration{Members: []raft.Member{self}}.AppendBinary(nil)
	if err != nil {
		return found, err
	}
	found.Identity.Cluster = raft.ClusterID(random())
	found.HardState = raft.HardState{Term: 1}
	found.Entries = []raft.Entry{{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: data}}
	if err := log.SetCluster(found.Identity.Cluster); err != nil {
		return found, err
	}
	if err := log.Append(&found.HardState, found.Entries); err != nil {
		return found, err
	}
	return found, log.Sync()
}

// random draws an id that nobody has: 64 bits that are not zero, nor small enough to be a script's.
func random() uint64 {
	for {
		var b [8]byte
		rand.Read(b[:]) // never fails (crypto/rand, Go 1.24)
		if n := binary.BigEndian.Uint64(b[:]); n >= 1<<32 {
			return n
		}
	}
}

func serveMember(ctx context.Context, o options, listener net.Listener, log *wal.Log, found wal.Recovered, logger *slog.Logger) error {
	logger = logger.With("node", o.advertise)
	var node *driver.Node
	started := make(chan struct{}) // closed when node is set
	transport := peer.New(peer.Config{
		Self: found.Identity.ID, Address: o.advertise, Dial: dialer(o.peerProxy), Logger: logger,
		Cluster: func() raft.ClusterID {
			<-started
			if node == nil { // it did not start
				return 0
			}
			return node.Status().Cluster
		},
		Deliver: func(m raft.Message) { <-started; node.Step(m) },
	})
	store := kv.New()
	node, err := driver.Start(driver.Config{
		Raft: raft.Config{
			ID: found.Identity.ID, Cluster: found.Identity.Cluster, Seed: random(),
			HeartbeatTicks: int(o.heartbeat / o.tick), ElectionTicks: int(o.election / o.tick),
			Trace:       func(sentence string) { logger.Info(sentence) },
			TraceDetail: false,
		},
		HardState: found.HardState, Entries: found.Entries,
		Address: o.advertise, TickEvery: o.tick, Machine: store, Transport: transport,
	}, log, logger)
	close(started)
	if err != nil {
		return errors.Join(err, transport.Close())
	}
	handler, err := api.New(api.Config{
		Node: node, Store: store, Dial: dialer(o.peerProxy), Stream: transport, NotLeader: o.notLeader,
		Logger: logger, Version: version(),
	})
	if err != nil {
		node.Stop()
		return errors.Join(err, transport.Close())
	}
	server := handler.HTTPServer()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	logger.Info("listening", "address", listener.Addr().String())

	joined := make(chan error, 1)
	joining, stopJoining := context.WithCancel(ctx)
	go func() { joined <- joinCluster(joining, o, node, logger) }()
	err = wait(ctx, node, served, joined)
	stopJoining()
	handler.Drain()
	node.Stop() // answers everyone who waits
	shutdown, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if e := server.Shutdown(shutdown); e != nil {
		logger.Warn("requests were cut off", "error", e)
		server.Close()
	}
	handler.Close()
	if err == nil {
		logger.Info("stopped")
	}
	return errors.Join(err, transport.Close())
}

// wait returns nil when the member was told to stop, or why it cannot go on.
func wait(ctx context.Context, node *driver.Node, served, joined <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-node.Failed():
			return err
		case err := <-served:
			if !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve: %w", err)
			}
		case err := <-joined:
			if err != nil && ctx.Err() == nil {
				return err
			}
			joined = nil
		}
	}
}
