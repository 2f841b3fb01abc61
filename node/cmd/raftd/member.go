package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"time"

	"raftlab/node/internal/api"
	"raftlab/node/internal/clock"
	"raftlab/node/internal/driver"
	"raftlab/node/internal/kv"
	"raftlab/node/internal/peer"
	"raftlab/node/internal/snapshot"
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
	_, dial, err := o.security(dialer(o.peerProxy))
	if err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	if o.pprof != "" {
		profiles, err := serveProfiles(o.pprof)
		if err != nil {
			return err
		}
		defer profiles.Close()
	}
	log, found, err := openLog(ctx, o, dial, logger)
	if err != nil {
		return err
	}
	defer log.Close()
	store, stored, err := openSnapshots(o, log, found, logger)
	if err != nil {
		return err
	}
	if o.join != "" && found.Identity.Cluster != 0 && stored.HardState.Term > 1 { // in term 1 it has just been made
		if err := sameCluster(ctx, o, dial, found.Identity, members(stored), logger); err != nil {
			return err
		}
	}
	return serveMember(ctx, o, listener, disk{log, found, store, stored}, logger)
}

// members is the latest configuration on the disk.
func members(stored raft.Stored) raft.Configuration {
	c := stored.Snapshot.Configuration
	for _, e := range stored.Entries {
		var next raft.Configuration
		if e.Type == raft.EntryConfiguration && e.Index > stored.Snapshot.Index && next.UnmarshalBinary(e.Data) == nil {
			c = next
		}
	}
	return c
}

// disk is what a member finds in its data directory.
type disk struct {
	log       *wal.Log
	found     wal.Recovered
	snapshots *snapshot.Store
	stored    raft.Stored
}

// openSnapshots opens the snapshots beside the log, and makes the two fit together after a crash between them.
func openSnapshots(o options, log *wal.Log, found wal.Recovered, logger *slog.Logger) (*snapshot.Store, raft.Stored, error) {
	dir := filepath.Join(o.data, wal.SnapshotDir)
	store, err := snapshot.Open(vfs.OS{}, dir)
	if err != nil {
		return nil, raft.Stored{}, fmt.Errorf("snapshots in %s: %w", dir, err)
	}
	stored, mended, err := driver.Recover(log, found, store)
	if err != nil {
		return nil, stored, fmt.Errorf("data directory %s: %w", o.data, err)
	}
	if mended {
		logger.Info("the log begins anew after the snapshot that was received last", "index", stored.Snapshot.Index)
	}
	return store, stored, nil
}

// openLog opens the member's log, or makes one: of a new cluster, or of a member that is about to join.
func openLog(ctx context.Context, o options, dial dialFunc, logger *slog.Logger) (*wal.Log, wal.Recovered, error) {
	log, found, err := wal.Open(vfs.OS{}, o.data)
	switch {
	case errors.Is(err, wal.ErrNotExist):
		return createLog(ctx, o, dial, logger)
	case err != nil:
		return nil, found, fmt.Errorf("data directory %s: %w", o.data, err)
	}
	err = found.Identity.Expect(o.advertise, 0)
	if err != nil {
		err = fmt.Errorf("data directory %s: %w; choose another --data", o.data, err)
	} else if o.join == "" && found.Identity.Cluster == 0 {
		// It may be a member of some cluster already, which counts on it.
		err = fmt.Errorf("data directory %s is of a member that was about to join a cluster; start it with --join, or remove the directory to start a new cluster", o.data)
	}
	if err != nil {
		return nil, found, errors.Join(err, log.Close())
	}
	if found.Torn > 0 {
		logger.Warn("cut off an unfinished write at the end of the log", "bytes", found.Torn)
	}
	return log, found, nil
}

// createLog makes a directory for a new member, when it is known what it will be a member of.
func createLog(ctx context.Context, o options, dial dialFunc, logger *slog.Logger) (*wal.Log, wal.Recovered, error) {
	found := o.join == ""
	if !found {
		_, err := askCluster(ctx, o, dial, logger)
		if found = err != nil && o.bootstrap && ctx.Err() == nil; err != nil && !found {
			return nil, wal.Recovered{}, err
		}
	}
	id := driver.NewIdentity(o.advertise, random)
	log, err := wal.Create(vfs.OS{}, o.data, id)
	if err != nil {
		return nil, wal.Recovered{}, fmt.Errorf("data directory %s: %w", o.data, err)
	}
	recovered := wal.Recovered{Identity: log.Identity()}
	logger.Info("new member", "id", id.ID.String(), "address", id.Address, "data", o.data)
	if !found {
		return log, recovered, nil
	}
	if recovered, err = driver.Bootstrap(log, raft.ClusterID(random()), raft.Member{ID: id.ID, Address: id.Address}); err != nil {
		return nil, recovered, errors.Join(err, log.Close())
	}
	logger.Info("new cluster", "cluster", recovered.Identity.Cluster.String())
	return log, recovered, nil
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

// target is what the streams of other members come to. The node is there when started is closed, nil if it did not start;
// the handler, through which every stream comes, before the first one.
type target struct {
	started chan struct{}
	node    *driver.Node
	handler *api.Server
}

// transport carries messages from and to a target.
func (t *target) transport(c peer.Config) *peer.Transport {
	c.Cluster = func() raft.ClusterID {
		<-t.started
		if t.node == nil {
			return 0
		}
		return t.node.Status().Cluster
	}
	c.Deliver = func(m raft.Message) { <-t.started; t.node.Step(m) }
	c.IsRemoved = func(id raft.ID) bool { <-t.started; return t.node != nil && t.node.Status().HasRemoved(id) }
	c.OnRemoved = func(by raft.ID) { <-t.started; t.node.ToldRemoved(by) }
	c.ReceiveSnapshot = func(ctx context.Context, m raft.Message, body io.Reader) error {
		<-t.started
		return t.node.ReceiveSnapshot(ctx, m, body)
	}
	c.Refuse = func(w http.ResponseWriter, r *http.Request, status int, reason string) {
		t.handler.RefuseStream(w, r, status, reason)
	}
	return peer.New(c)
}

// bench is what a lab may do to a member, and ask it: nothing without --lab.
func bench(o options, store *kv.Store, logger *slog.Logger) (driver.StateMachine, *clock.Clock, *kv.Told) {
	if !o.lab {
		return store, nil, nil
	}
	logger.Warn("--lab: the clock of this member can be bent, and all that was written read, over HTTP; never run it so with data that you need")
	told := kv.NewTold(store)
	return told, clock.Lab(), told
}

func serveMember(ctx context.Context, o options, listener net.Listener, d disk, logger *slog.Logger) error {
	logger = logger.With("node", o.advertise)
	direct := dialer(o.peerProxy)
	secure, dial, err := o.security(direct)
	if err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	timings, peers := newTimings(), newPeerMetrics()
	self := &target{started: make(chan struct{})}
	transport := self.transport(peer.Config{
		Self: d.found.Identity.ID, Address: o.advertise, Dial: dial, Token: o.token, Logger: logger, RoundTrip: peers.observe,
	})
	peers.stats = transport.Stats
	store := kv.New()
	machine, bendable, told := bench(o, store, logger)
	node, err := driver.Start(driver.Config{
		Raft: raft.Config{
			ID: d.found.Identity.ID, Cluster: d.found.Identity.Cluster, Seed: random(),
			HeartbeatTicks: int(o.heartbeat / o.tick), ElectionTicks: int(o.election / o.tick),
			Trace:       func(sentence string) { logger.Info(sentence) },
			TailEntries: o.tailEntries,
		},
		Stored: d.stored, SnapshotEntries: o.snapshotEntries, SnapshotBytes: o.snapshotBytes,
		Address: o.advertise, TickEvery: o.tick, Clock: bendable, Machine: machine, Transport: transport,
	}, driver.Storage{Log: driver.WAL{Log: d.log}, Snapshots: d.snapshots, Send: transport.SendSnapshot, Timings: timings.driver()}, logger)
	self.node = node
	close(self.started)
	if err != nil {
		return errors.Join(err, transport.Close())
	}
	handler, err := api.New(api.Config{
		Node: node, Store: store, Dial: direct, Stream: transport, NotLeader: o.notLeader,
		Snapshot: http.HandlerFunc(transport.ServeSnapshot), SnapshotStat: node.SnapshotStat,
		Token: o.token, TLS: secure, Collectors: append(timings.collectors(), peers), Clock: bendable, Told: told,
		Logger: logger, Version: version(), PeerStats: transport.Stats,
	})
	if err != nil {
		node.Stop()
		return errors.Join(err, transport.Close())
	}
	self.handler = handler
	server := handler.HTTPServer()
	served := make(chan error, 1)
	go func() { served <- server.Serve(handler.Listener(listener)) }()
	logger.Info("listening", "address", listener.Addr().String())

	joined := make(chan error, 1)
	joining, stopJoining := context.WithCancel(ctx)
	go func() { joined <- joinCluster(joining, o, dial, node, logger) }()
	err = wait(ctx, node, served, joined)
	stopJoining()
	handler.Drain()
	handOver(node, logger)
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

// handOver gives leadership to another member before this one stops, so that clients do not wait for an election.
func handOver(node *driver.Node, logger *slog.Logger) {
	if s := node.Status(); s.Role != raft.Leader || s.Configuration.Voters() < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout/2)
	defer cancel()
	if _, err := node.Transfer(ctx, 0); err != nil {
		logger.Warn("leadership was not handed over; the others will elect", "error", err)
	}
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
