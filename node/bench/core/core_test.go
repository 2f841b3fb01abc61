//go:build unix

package core

import (
	"container/heap"
	"io"
	"log"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	etcdraft "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"raftlab/raft"
)

// The core alone, ours and etcd's, in the same world: five members, a tick of 10 ms, a command of 16 bytes a tick at whoever leads,
// 1 to 5 ms and 2 % loss between them, disks that take no time, heartbeats at each tick, elections after ten, pre-votes and
// check-quorum in both. One operation is 100 ms of virtual time.
//
//	go test -run XXX -bench Core -count 5 -cpu 1 .

const (
	coreMembers = 5
	coreTick    = 10 * time.Millisecond
	coreCompact = 1000 // entries between two compactions, and that one leaves
)

var coreCommand = []byte("sixteen bytes...")

// core is one member: it says what it wants sent.
type core[M any] interface {
	tick(send func(to int, m M))
	step(m M, send func(to int, m M))
	committed() uint64
}

type arrival[M any] struct {
	at      time.Duration
	seq     int
	to      int
	message M
	tick    bool
}

type arrivals[M any] []*arrival[M]

func (a arrivals[M]) Len() int { return len(a) }
func (a arrivals[M]) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].seq < a[j].seq
}
func (a arrivals[M]) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *arrivals[M]) Push(x any)   { *a = append(*a, x.(*arrival[M])) }
func (a *arrivals[M]) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// benchmarkCore runs five cores, and says what a second of processor time was worth.
func benchmarkCore[M any](b *testing.B, start func(member int) core[M]) {
	chance := rand.New(rand.NewPCG(1, 1))
	var queue arrivals[M]
	var members []core[M]
	var now time.Duration
	made, sent := 0, 0
	schedule := func(a *arrival[M]) {
		made++
		a.seq = made
		heap.Push(&queue, a)
	}
	send := func(to int, m M) {
		sent++
		if chance.IntN(50) != 0 {
			schedule(&arrival[M]{at: now + time.Millisecond + time.Duration(chance.Int64N(int64(4*time.Millisecond))), to: to, message: m})
		}
	}
	for i := range coreMembers {
		members = append(members, start(i+1))
		schedule(&arrival[M]{at: time.Duration(i) * time.Millisecond, to: i + 1, tick: true})
	}
	began := processorTime()
	for b.Loop() {
		for end := now + 100*time.Millisecond; now < end; {
			a := heap.Pop(&queue).(*arrival[M])
			now = a.at
			if member := members[a.to-1]; a.tick {
				member.tick(send)
				schedule(&arrival[M]{at: now + coreTick, to: a.to, tick: true})
			} else {
				member.step(a.message, send)
			}
		}
	}
	least := members[0].committed()
	for _, m := range members {
		least = min(least, m.committed())
	}
	if want := uint64(now/coreTick) / 2; now > 10*time.Second && least < want {
		b.Fatalf("a member has committed %d entries in %v, and was to have %d at least", least, now, want)
	}
	s := (processorTime() - began).Seconds()
	b.ReportMetric(float64(sent)/s, "messages/cpu-s")
	b.ReportMetric(now.Seconds()/s, "virtual-s/cpu-s")
	b.ReportMetric(float64(least)/s, "entries/cpu-s")
}

// processorTime is that of this process: on a machine with neighbours, the clock on the wall measures them.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkCoreRaftlab(b *testing.B) {
	var c raft.Configuration
	for i := range coreMembers {
		c.Members = append(c.Members, raft.Member{ID: raft.ID(i + 1), Address: "a"})
	}
	data, err := c.AppendBinary(nil)
	if err != nil {
		b.Fatal(err)
	}
	benchmarkCore(b, func(member int) core[*raft.Message] {
		r, err := raft.New(raft.Config{ID: raft.ID(member), Cluster: 7, Seed: uint64(member), HeartbeatTicks: 1, ElectionTicks: 10, TailEntries: coreCompact},
			raft.Stored{HardState: raft.HardState{Term: 1}, Entries: []raft.Entry{{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: data}}})
		if err != nil {
			b.Fatal(err)
		}
		return ourCore{r}
	})
}

type ourCore struct{ *raft.Raft }

func (c ourCore) committed() uint64 { return uint64(c.Committed()) }

func (c ourCore) tick(send func(int, *raft.Message)) {
	_ = c.Step(raft.Tick{})
	if c.Role() == raft.Leader {
		_ = c.Step(raft.Propose{Commands: [][]byte{coreCommand}})
	}
	c.pump(send)
}

func (c ourCore) step(m *raft.Message, send func(int, *raft.Message)) {
	_ = c.Step(m)
	c.pump(send)
}

func (c ourCore) pump(send func(int, *raft.Message)) {
	all := func(messages []raft.Message) {
		for i := range messages {
			m := messages[i]
			send(int(m.To), &m)
		}
	}
	for c.HasReady() {
		ready := c.Ready()
		all(ready.Messages)
		if n := len(ready.Committed); n > 0 {
			at := ready.Committed[n-1].Index
			_ = c.Step(raft.Applied{Index: at})
			if at%coreCompact == 0 {
				if s, ok := c.SnapshotAt(at); ok {
					_ = c.Step(raft.SnapshotTaken{Snapshot: s})
				}
			}
		}
		if ready.Save != nil {
			_ = c.Step(ready.Save.Done)
			all(ready.Save.Then)
		}
	}
}

func BenchmarkCoreEtcd(b *testing.B) {
	var voters []uint64
	for i := range coreMembers {
		voters = append(voters, uint64(i+1))
	}
	benchmarkCore(b, func(member int) core[*raftpb.Message] {
		storage := etcdraft.NewMemoryStorage()
		founded := &raftpb.SnapshotMetadata{ConfState: &raftpb.ConfState{Voters: voters}, Index: new(uint64(1)), Term: new(uint64(1))}
		if err := storage.ApplySnapshot(&raftpb.Snapshot{Metadata: founded}); err != nil {
			b.Fatal(err)
		}
		n, err := etcdraft.NewRawNode(&etcdraft.Config{ID: uint64(member), ElectionTick: 10, HeartbeatTick: 1, Storage: storage, MaxSizePerMsg: 1 << 20,
			MaxInflightMsgs: 256, CheckQuorum: true, PreVote: true, Logger: &etcdraft.DefaultLogger{Logger: log.New(io.Discard, "", 0)}})
		if err != nil {
			b.Fatal(err)
		}
		return &etcdCore{RawNode: n, storage: storage, applied: 1}
	})
}

type etcdCore struct {
	*etcdraft.RawNode
	storage *etcdraft.MemoryStorage
	applied uint64
}

func (c *etcdCore) committed() uint64 { return c.applied }

func (c *etcdCore) tick(send func(int, *raftpb.Message)) {
	c.Tick()
	if c.BasicStatus().RaftState == etcdraft.StateLeader {
		_ = c.Propose(coreCommand)
	}
	c.pump(send)
}

func (c *etcdCore) step(m *raftpb.Message, send func(int, *raftpb.Message)) {
	_ = c.Step(m)
	c.pump(send)
}

func (c *etcdCore) pump(send func(int, *raftpb.Message)) {
	for c.HasReady() {
		ready := c.Ready()
		_ = c.storage.Append(ready.Entries)
		if !etcdraft.IsEmptyHardState(ready.HardState) {
			_ = c.storage.SetHardState(ready.HardState)
		}
		for _, m := range ready.Messages {
			send(int(m.GetTo()), m)
		}
		if n := len(ready.CommittedEntries); n > 0 {
			before := c.applied
			c.applied = ready.CommittedEntries[n-1].GetIndex()
			if c.applied/coreCompact > before/coreCompact && c.applied > coreCompact {
				_ = c.storage.Compact(c.applied - coreCompact)
			}
		}
		c.Advance(ready)
	}
}
